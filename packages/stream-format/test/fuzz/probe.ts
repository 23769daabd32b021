import { zstdDecompressSync } from 'node:zlib';
import { loadLz4 } from '@virtnbd/lz4';
import {
  bytesSource,
  checkedSource,
  checkStream,
  MAX_PIECE_BYTES,
  type RandomAccessSource,
  readStream,
  StreamFile,
  StreamFormatError,
  salvage,
} from '../../src/index.ts';
import type { Seed } from './seeds.ts';

/** Guest bytes of one frame that are looked at: the tests are about damage, not about endurance. */
const LOOKED_AT = 1 << 20;

/** Thrown when an input makes the library do what it must never do. */
export class Finding extends Error {
  override readonly name = 'Finding';
}

/** Puts one damaged file through everything that reads files. @throws Finding */
export async function probe(seed: Seed, input: Buffer): Promise<void> {
  const changed = !input.equals(seed.bytes);
  const plain = await attempt('open', input, async (source) => await readFrames(await StreamFile.open(source), input));
  const piped = await attempt('pipe', input, async () => await readPipe(input));
  if (plain && piped && !sameRanges(plain, piped)) throw new Finding('The file and the pipe give different bytes');
  const checked = await attempt('checked', input, async (source) => {
    return await readFrames(await StreamFile.open(checkedSource(source, seed.checksums)), input);
  });
  if (checked !== undefined) expectDisk(checked, seed.disk, []);
  for (const checksums of [undefined, seed.checksums]) {
    const report = await attempt(
      'check',
      input,
      (source) => checkStream(source, { depth: 'frames', checksums }),
      false,
    );
    if (report?.sound && changed && checksums) throw new Finding('A damaged file passes for sound');
    if (report?.sound === false && !changed) throw new Finding('A sound file passes for damaged');
  }
  await attempt('salvage', input, async (source) => {
    const { file } = await salvage(source);
    await readFrames(file, input);
  });
  if (seed.checksums.frameTable === undefined) return;
  const { meta } = await StreamFile.open(bytesSource(seed.bytes));
  await attempt('salvage by checksums', input, async (source) => {
    const { file, lost, metaFrom } = await salvage(source, { checksums: seed.checksums, meta });
    if (metaFrom === 'file' && JSON.stringify(file.meta.virtualSize) !== JSON.stringify(meta.virtualSize)) return;
    expectDisk(await readFrames(file, input), seed.disk, lost);
  });
}

interface Range {
  readonly start: number;
  /** Undefined: zeroes. */
  readonly bytes: Uint8Array | undefined;
  readonly length: number;
}

/** Runs a task over the input. Errors of the library are an answer, any other is a finding; so is reading without end. */
async function attempt<T>(
  what: string,
  input: Buffer,
  task: (source: RandomAccessSource) => Promise<T>,
  mayThrow = true,
): Promise<T | undefined> {
  try {
    return await task(bounded(bytesSource(input)));
  } catch (error) {
    if (error instanceof StreamFormatError && mayThrow && error.code !== 'USAGE') return undefined;
    if (error instanceof Finding) throw error;
    throw new Finding(`${what}: ${error instanceof Error ? error.stack : error}`, { cause: error });
  }
}

/** Refuses what no sound reader asks of a small file: reads without end, past the end, or of buffers without bound. */
function bounded(inner: RandomAccessSource): RandomAccessSource {
  let reads = 0;
  let bytes = 0;
  return {
    size: inner.size,
    read(offset, buffer) {
      reads++;
      bytes += buffer.length;
      if (reads > 20_000 + inner.size || bytes > 2000 * (inner.size + 4096)) throw new Finding('It reads without end');
      if (offset < 0 || offset + buffer.length > inner.size) throw new Finding('It reads past the end of the file');
      return inner.read(offset, buffer);
    },
  };
}

/** All frames of a file, each compared with what the file's own bytes give by other means. */
async function readFrames(file: StreamFile, input: Buffer): Promise<Range[]> {
  const { index } = file;
  const ranges: Range[] = [];
  for (let frame = 0; frame < index.count; frame++) {
    const [start, length] = [index.start(frame), index.length(frame)];
    if (index.kind(frame) === 'zero') {
      ranges.push({ start, length, bytes: undefined });
      continue;
    }
    for (let done = 0; done < length && done < LOOKED_AT; ) {
      if (!file.compressed) {
        const bytes = new Uint8Array(Math.min(length - done, LOOKED_AT));
        await file.read(frame, done, bytes);
        const at = index.fileOffset(frame) + done;
        if (!input.subarray(at, at + bytes.length).equals(bytes)) throw new Finding('Bytes that were not in the file');
        ranges.push({ start: start + done, length: bytes.length, bytes });
        done += bytes.length;
        continue;
      }
      const { bytes } = await file.piece(frame, done);
      if (bytes.length > MAX_PIECE_BYTES) throw new Finding(`A piece of ${bytes.length} bytes`);
      if (done === 0 && bytes.length === length) await compareDecoded(file, frame, bytes, input);
      ranges.push({ start: start + done, length: bytes.length, bytes });
      done += bytes.length;
    }
  }
  return ranges;
}

/** Another decoder must give the same. */
async function compareDecoded(file: StreamFile, frame: number, bytes: Uint8Array, input: Buffer): Promise<void> {
  const at = file.index.fileOffset(frame);
  const stored = input.subarray(at, at + file.index.storedLength(frame));
  let other: Uint8Array = new Uint8Array(bytes.length);
  if (file.method === 'zstd') other = zstdDecompressSync(stored, { maxOutputLength: bytes.length });
  else await (await loadLz4({ engine: 'lz4-napi' })).decompress(stored, other);
  if (Buffer.compare(other, bytes) !== 0) throw new Finding('Two decoders disagree');
}

async function readPipe(input: Buffer): Promise<Range[]> {
  const ranges: Range[] = [];
  async function* portions() {
    for (let at = 0; at < input.length; at += 777) yield input.subarray(at, at + 777);
  }
  for await (const part of readStream(portions())) {
    if (part.kind === 'zero') ranges.push({ start: part.start, length: part.length, bytes: undefined });
    else if (part.kind === 'data') ranges.push({ start: part.start, length: part.bytes.length, bytes: part.bytes });
  }
  return ranges;
}

function sameRanges(a: readonly Range[], b: readonly Range[]): boolean {
  const text = (ranges: readonly Range[]) => {
    const data = ranges.filter(({ bytes }) => bytes !== undefined);
    const zeroes = ranges.filter(({ bytes }) => bytes === undefined).map(({ start, length }) => `${start}+${length}`);
    return [zeroes.join(), Buffer.concat(data.map(({ bytes }) => bytes ?? new Uint8Array(0))).toString('latin1')].join(
      '|',
    );
  };
  return text(a) === text(b);
}

/** Wherever nothing is lost the ranges give the disk as it was. */
function expectDisk(ranges: readonly Range[], right: Buffer, lost: readonly { start: number; length: number }[]): void {
  const [found, expected] = [Buffer.alloc(right.length), Buffer.from(right)];
  for (const { start, bytes, length } of ranges) {
    if (start + length > right.length) throw new Finding('A range past the end of the disk');
    if (bytes) found.set(bytes, start);
  }
  for (const { start, length } of lost) {
    found.fill(0, start, start + length);
    expected.fill(0, start, start + length);
  }
  if (!found.equals(expected)) throw new Finding('Wrong bytes in spite of checksums');
}
