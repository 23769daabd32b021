import type { StreamHandle } from '../ffi/signatures.ts';
import type { Session } from './session.ts';

const PIECE = 256 * 1024;

/** A stream for one transfer. */
export function withStream<T>(session: Session, use: (stream: StreamHandle) => T): T {
  const { libvirt } = session;
  const stream = session.value('virStreamNew', libvirt.virStreamNew(session.connection, 0));
  try {
    return use(stream);
  } finally {
    libvirt.virStreamFree(stream);
  }
}

/** All that comes to the stream's good end, which is at most `limit` bytes. */
export function receiveAll(session: Session, stream: StreamHandle, what: string, limit: number): Uint8Array {
  const { libvirt } = session;
  const pieces: Buffer[] = [];
  const piece = Buffer.alloc(PIECE);
  let size = 0;
  for (;;) {
    const got = session.count('virStreamRecv', libvirt.virStreamRecv(stream, piece, piece.length));
    if (got === 0) break;
    size += got;
    if (size > limit) {
      libvirt.virStreamAbort(stream);
      throw new Error(`${what} is larger than ${limit} bytes`);
    }
    pieces.push(Buffer.from(piece.subarray(0, got)));
  }
  session.count('virStreamFinish', libvirt.virStreamFinish(stream));
  // A view of its own buffer: what goes to the main thread is copied.
  return new Uint8Array(Buffer.concat(pieces));
}
