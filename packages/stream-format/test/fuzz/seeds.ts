import { Random } from '@virtnbd/test-kit';
import { type ChunkChecksums, ChunkHasher } from '../../src/index.ts';
import { data, meta, stop, trailer, zero } from '../raw-frames.ts';
import { type Frame, lz4Frame, writeStream } from '../writing.ts';

/** A sound file to damage. */
export interface Seed {
  readonly name: string;
  readonly bytes: Buffer;
  readonly checksums: ChunkChecksums;
  /** The disk that it holds. */
  readonly disk: Buffer;
}

const SIZE = 16_384;

/** One small file of each variant, the same in every run. */
export async function makeSeeds(): Promise<Seed[]> {
  const random = new Random(1);
  const text = (length: number) => Buffer.alloc(length, 'lorem ipsum dolor ');
  const frames: Frame[] = [
    { start: 0, length: 600, payload: random.bytes(600) },
    { start: 600, length: 3000 },
    { start: 4096, length: 1500, payload: text(1500) },
    { start: 5596, length: 100, payload: random.bytes(100) },
    { start: 8192, length: 4096 },
    { start: 12_288, length: 900, payload: text(900) },
  ];
  const disk = Buffer.alloc(SIZE);
  for (const { start, payload } of frames) if (payload) disk.set(payload, start);
  const seeds: Seed[] = [];
  for (const compression of [undefined, 'lz4', 'zstd'] as const) {
    const { bytes, summary } = await writeStream(SIZE, frames, { compression, chunkSize: 4096 });
    seeds.push({ name: compression ?? 'plain', bytes, checksums: summary.chunks, disk });
  }
  const version1 = { virtualSize: SIZE, dataSize: 3100, 'stream-version': 1, streamVersion: undefined };
  const plain = frames.map(({ start, length, payload }) =>
    payload ? data(start, length, payload) : zero(start, length),
  );
  seeds.push(seedOf('version 1', Buffer.concat([meta(version1), ...plain, stop]), disk));
  seeds.push(seedOf('cut lz4', await cutFile(disk), disk));
  return seeds;
}

/** The whole disk as one data frame in three LZ4 frames that state their content sizes, as the established tool cuts it. */
async function cutFile(disk: Buffer): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for (let at = 0; at < disk.length; at += 6000) pieces.push(withContentSize(disk.subarray(at, at + 6000)));
  const stored = Buffer.concat(pieces);
  const json = `[{"${stored.length}": [${pieces.map(({ length }) => length).join(', ')}]}, 31]`;
  const tail = await lz4Frame(Buffer.from('tail of the'));
  const known = { virtualSize: SIZE + 11, dataSize: SIZE + 11, compressed: 2 };
  return Buffer.concat([
    meta(known),
    data(0, SIZE, stored),
    data(SIZE, 11, tail),
    stop,
    trailer(json.replace('31', String(tail.length))),
  ]);
}

/** An LZ4 frame of one stored block, with its content size and no checksum: the header checksum is xxh32's second byte. */
function withContentSize(content: Uint8Array): Buffer {
  const descriptor = Buffer.alloc(10);
  descriptor.writeUInt8(0x68, 0);
  descriptor.writeUInt8(0x40, 1);
  descriptor.writeBigUInt64LE(BigInt(content.length), 2);
  const head = Buffer.concat([Buffer.from('04224d18', 'hex'), descriptor, Buffer.of((xxh32(descriptor) >>> 8) & 0xff)]);
  const size = Buffer.alloc(4);
  size.writeUInt32LE(content.length + 0x80000000);
  return Buffer.concat([head, size, content, Buffer.alloc(4)]);
}

/** XXH32 of fewer than 16 bytes, seed 0. */
function xxh32(bytes: Buffer): number {
  const [prime1, prime2, prime3, prime4, prime5] = [0x9e3779b1, 0x85ebca77, 0xc2b2ae3d, 0x27d4eb2f, 0x165667b1];
  const rotate = (value: number, by: number) => (value << by) | (value >>> (32 - by));
  let hash = (prime5 + bytes.length) | 0;
  let at = 0;
  for (; at + 4 <= bytes.length; at += 4) {
    hash = Math.imul(rotate((hash + Math.imul(bytes.readUInt32LE(at), prime3)) | 0, 17), prime4);
  }
  for (; at < bytes.length; at++)
    hash = Math.imul(rotate((hash + Math.imul(bytes.readUInt8(at), prime5)) | 0, 11), prime1);
  hash = Math.imul(hash ^ (hash >>> 15), prime2);
  hash = Math.imul(hash ^ (hash >>> 13), prime3);
  return (hash ^ (hash >>> 16)) >>> 0;
}

function seedOf(name: string, bytes: Buffer, disk: Buffer): Seed {
  const hasher = new ChunkHasher(4096);
  hasher.update(bytes);
  return {
    name,
    bytes,
    checksums: hasher.finish(),
    disk: name === 'cut lz4' ? Buffer.concat([disk, Buffer.from('tail of the')]) : disk,
  };
}
