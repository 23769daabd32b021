import type { StreamHandle } from '../ffi/signatures.ts';
import type { Session } from './session.ts';

export interface Screenshot {
  /** `image/png` since libvirt 8.8 with QEMU 7.1, `image/x-portable-pixmap` before. */
  readonly type: string;
  readonly data: Uint8Array;
}

const PIECE = 256 * 1024;
/** More than a screen of 8K takes: 7680 × 4320 pixels of 3 bytes are 100 MB. */
const MAX_SIZE = 256 * 1024 * 1024;

export function screenCalls(session: Session) {
  const { libvirt } = session;
  return {
    screenshot(uuid: string): Screenshot {
      return session.withDomain(uuid, (domain) => {
        const stream = session.value('virStreamNew', libvirt.virStreamNew(session.connection, 0));
        try {
          const type = session.value('virDomainScreenshot', libvirt.virDomainScreenshot(domain, stream, 0, 0));
          return { type, data: receiveAll(session, stream) };
        } finally {
          libvirt.virStreamFree(stream);
        }
      });
    },
  };
}

function receiveAll(session: Session, stream: StreamHandle): Uint8Array {
  const { libvirt } = session;
  const pieces: Buffer[] = [];
  const piece = Buffer.alloc(PIECE);
  let size = 0;
  for (;;) {
    const got = session.count('virStreamRecv', libvirt.virStreamRecv(stream, piece, piece.length));
    if (got === 0) break;
    size += got;
    if (size > MAX_SIZE) {
      libvirt.virStreamAbort(stream);
      throw new Error(`the screenshot is larger than ${MAX_SIZE} bytes`);
    }
    pieces.push(Buffer.from(piece.subarray(0, got)));
  }
  session.count('virStreamFinish', libvirt.virStreamFinish(stream));
  // A view of its own buffer: what goes to the main thread is copied.
  return new Uint8Array(Buffer.concat(pieces));
}
