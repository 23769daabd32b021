import { randomBytes } from 'node:crypto';
import { mkdir, open, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type FrameSpec, KIB, MIB, makePoint } from '@virtnbd/sample-sets';
import { StreamFile } from '@virtnbd/stream-format';

/** A backup of one disk, and the disk at its newest point as a raw image. */
export interface MapFolder {
  readonly folder: string;
  readonly image: string;
  /** Bytes. */
  readonly size: number;
}

/**
 * A disk without zeroes, half of it random, half text, in frames as backups write them, and increments that each change every
 * thirty-second frame.
 */
export async function makeMapFolder(
  folder: string,
  options: { bytes: number; increments: number; compression?: 'lz4' },
): Promise<MapFolder> {
  const { bytes: size, increments, compression } = options;
  await mkdir(folder);
  const image = `${folder}.raw`;
  await using file = await open(image, 'w');
  const text = Buffer.alloc(MIB, 'The quick brown fox jumps over the lazy dog. ');
  for (let number = 0; number <= increments; number++) {
    const frames: FrameSpec[] = [];
    for (let start = 0; start < size; start += MIB) {
      if (number > 0 && (start / MIB + number) % 32 !== 0) continue;
      const fill = (start / MIB) % 2 === 0 ? randomBytes(MIB) : text;
      frames.push({ start, length: MIB, fill });
      await file.write(fill, 0, MIB, start);
    }
    const disk = { virtualSize: size, frames, ...(compression !== undefined && { compression }) };
    await makePoint(folder, { number, disks: [disk] });
  }
  return { folder, image, size };
}

/** A full of so many frames: data and zeroes by turns, as large as those of a disk in small pieces. */
export async function makeFrames(folder: string, count: number): Promise<MapFolder> {
  await mkdir(folder);
  const length = 16 * KIB;
  const frames = Array.from({ length: count }, (_, index): FrameSpec => {
    const start = index * length;
    return index % 2 === 0 ? { start, length, fill: 0x5a } : { start, length, zero: true };
  });
  const size = count * length;
  await makePoint(folder, { number: 0, disks: [{ virtualSize: size, frames }] });
  return { folder, image: '', size };
}

/** A stream file's frame header. */
const HEADER = 40;

/** What the established virtnbdmap hands its plugin: a list of where the frames of a full lie. */
export async function writeBlockMap({ folder }: MapFolder): Promise<string> {
  const path = join(folder, 'vda.full.data');
  await using file = await open(path);
  const { size } = await file.stat();
  const { index } = await StreamFile.open({
    size,
    read: async (offset, buffer) => {
      await file.read(buffer, 0, buffer.length, offset);
    },
  });
  const entries = Array.from({ length: index.count }, (_, frame) => {
    const [start, length] = [index.start(frame), index.length(frame)];
    const offset = index.fileOffset(frame);
    const common = { originalOffset: start, nextOriginalOffset: start + length, data: true, file: path, inc: false };
    return {
      offset,
      length,
      ...common,
      nextBlockOffset: frame + 1 < index.count ? offset + length + 2 + HEADER : null,
    };
  });
  const map = `${folder}.map`;
  await writeFile(map, JSON.stringify(entries));
  return map;
}

export async function removeFolder({ folder, image }: MapFolder): Promise<void> {
  for (const path of [folder, image, `${folder}.map`])
    if (path !== '') await rm(path, { recursive: true, force: true });
}
