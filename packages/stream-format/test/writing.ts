import { randomBytes } from 'node:crypto';
import { compressBound, loadLz4 } from '@virtnbd/lz4';
import {
  type CompressionMethod,
  type Sink,
  type StreamMeta,
  type StreamSummary,
  StreamWriter,
  type StreamWriterOptions,
} from '../src/index.ts';

/** A sink that keeps a copy of what it gets, as a file would. */
export class MemorySink implements Sink {
  /** Bytes of each write. */
  readonly writes: number[] = [];
  readonly #parts: Buffer[] = [];

  async write(chunks: readonly Uint8Array[]): Promise<void> {
    await new Promise(setImmediate);
    const bytes = Buffer.concat(chunks);
    this.writes.push(bytes.length);
    this.#parts.push(bytes);
  }

  bytes(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

export interface Frame {
  readonly start: number;
  readonly length: number;
  /** Absent in a zero frame. */
  readonly payload?: Uint8Array;
}

export function metaOf(virtualSize: number, dataSize: number, more: Partial<StreamMeta> = {}): StreamMeta {
  return {
    virtualSize,
    dataSize,
    date: '2026-11-23T08:12:30.434784',
    diskName: 'vda',
    diskFormat: 'qcow2',
    checkpointName: 'virtnbdbackup.0',
    compressed: false,
    parentCheckpoint: '',
    incremental: false,
    streamVersion: 2,
    extra: {},
    ...more,
  };
}

/** A stream file in memory of the given frames; all calls are made at once. */
export async function writeStream(
  virtualSize: number,
  frames: readonly Frame[],
  options: StreamWriterOptions & { meta?: Partial<StreamMeta> } = {},
): Promise<{ bytes: Buffer; summary: StreamSummary; sink: MemorySink }> {
  const sink = new MemorySink();
  const dataSize = frames.reduce((sum, frame) => sum + (frame.payload?.length ?? 0), 0);
  const writer = new StreamWriter(sink, metaOf(virtualSize, dataSize, options.meta), options);
  await writer.start();
  const calls = frames.map((frame) =>
    frame.payload ? writer.data(frame.start, frame.payload) : writer.zero(frame.start, frame.length),
  );
  const [summary] = await Promise.all([writer.finish(), ...calls]);
  return { bytes: sink.bytes(), summary, sink };
}

/** One LZ4 frame, as the writer makes it. */
export async function lz4Frame(bytes: Uint8Array): Promise<Uint8Array> {
  const target = Buffer.alloc(compressBound(bytes.length));
  return target.subarray(0, await (await loadLz4()).compress(bytes, target, 2));
}

/** Half noise, half text. */
export function payloadOf(length: number): Uint8Array {
  const bytes = Buffer.alloc(length, 'The quick brown fox. ');
  randomBytes(Math.floor(length / 2)).copy(bytes);
  return bytes;
}

/** A small disk with one frame of each kind and a gap. */
export async function smallFile(compression?: CompressionMethod) {
  const noise = randomBytes(300);
  const text = Buffer.alloc(700, 'lorem ipsum ');
  return await writeStream(
    8192,
    [
      { start: 0, length: 300, payload: noise },
      { start: 512, length: 1024 },
      { start: 4096, length: 700, payload: text },
    ],
    { compression },
  );
}
