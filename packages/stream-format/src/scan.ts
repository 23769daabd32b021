import { StreamFormatError } from './errors.ts';
import { decodeFrameHeader, FRAME_HEADER_BYTES, PAYLOAD_END } from './frame-header.ts';
import { type CutFrames, FrameIndex, NumberColumn } from './frame-index.ts';
import { MAX_FRAMES, MAX_META_BYTES, MAX_PIECE_BYTES } from './limits.ts';
import { maxLz4FrameBytes } from './lz4-frame.ts';
import { decodeMeta, type StreamMeta } from './meta.ts';
import type { RandomAccessSource } from './source.ts';
import { readTrailer, type Trailer } from './trailer.ts';
import { WindowedReader } from './windowed-reader.ts';

export interface ScannedStream {
  readonly meta: StreamMeta;
  readonly index: FrameIndex;
  readonly compressed: boolean;
  /** The data frames that are cut into several LZ4 frames. */
  readonly cuts: CutFrames;
}

/** Reads and checks everything but the payloads: meta, trailer, every frame header, the end of the file. */
export async function scanStream(source: RandomAccessSource, signal?: AbortSignal): Promise<ScannedStream> {
  const reader = new WindowedReader(source, signal);
  const { meta, end } = await readMeta(source, reader);
  const trailer = meta.compressed === false ? undefined : await readTrailer(source, { signal });
  return await new Scan(source, reader, meta, trailer).run(end);
}

async function readMeta(
  source: RandomAccessSource,
  reader: WindowedReader,
): Promise<{ meta: StreamMeta; end: number }> {
  let position = await look(source, reader, 0, FRAME_HEADER_BYTES);
  const header = decodeFrameHeader(reader.bytes, position, 0);
  if (header.kind !== 'meta' || header.start !== 0) {
    throw new StreamFormatError('BAD_FRAME_HEADER', 'The file does not begin with a meta frame: it is no stream file', {
      fileOffset: 0,
    });
  }
  if (header.length > MAX_META_BYTES) {
    throw new StreamFormatError('LIMIT', `The meta frame declares ${header.length} bytes; the limit is 1 MiB`, {
      fileOffset: 0,
    });
  }
  position = await look(source, reader, FRAME_HEADER_BYTES, header.length + PAYLOAD_END.length);
  const meta = decodeMeta(reader.bytes.slice(position, position + header.length));
  checkPayloadEnd(reader.bytes, position + header.length, FRAME_HEADER_BYTES + header.length);
  return { meta, end: FRAME_HEADER_BYTES + header.length + PAYLOAD_END.length };
}

/** Position in the reader's window of `length` bytes at `offset`; read when they are not there. */
async function look(source: RandomAccessSource, reader: WindowedReader, offset: number, length: number) {
  const position = reader.find(offset, length);
  return position >= 0 ? position : await load(source, reader, offset, length);
}

async function load(source: RandomAccessSource, reader: WindowedReader, offset: number, length: number) {
  if (offset + length > source.size) {
    throw new StreamFormatError('TRUNCATED', `The file ends at byte ${source.size}, within a frame: it was cut off`, {
      fileOffset: source.size,
    });
  }
  return await reader.load(offset, length);
}

function checkPayloadEnd(bytes: Uint8Array, position: number, fileOffset: number): void {
  if (bytes[position] !== PAYLOAD_END[0] || bytes[position + 1] !== PAYLOAD_END[1]) {
    throw new StreamFormatError(
      'BAD_FRAME_HEADER',
      `The payload before byte ${fileOffset} is not followed by CR LF: the file is damaged there or before`,
      { fileOffset },
    );
  }
}

/** One pass over the headers. */
class Scan {
  readonly #source: RandomAccessSource;
  readonly #reader: WindowedReader;
  readonly #meta: StreamMeta;
  readonly #trailer: Trailer | undefined;
  readonly #compressed: boolean;
  readonly #starts = new NumberColumn();
  readonly #lengths = new NumberColumn();
  readonly #fileOffsets = new NumberColumn();
  readonly #storedLengths = new NumberColumn();
  readonly #cuts = new Map<number, readonly number[]>();
  #dataFrames = 0;
  #dataSize = 0;
  #guestEnd = 0;

  constructor(source: RandomAccessSource, reader: WindowedReader, meta: StreamMeta, trailer: Trailer | undefined) {
    this.#source = source;
    this.#reader = reader;
    this.#meta = meta;
    this.#trailer = trailer;
    this.#compressed = meta.compressed !== false;
  }

  async run(from: number): Promise<ScannedStream> {
    let offset = from;
    let previousIsData = false;
    for (;;) {
      // The two bytes after a payload and the header that follows are looked at together.
      const before = previousIsData ? PAYLOAD_END.length : 0;
      const needed = before + FRAME_HEADER_BYTES;
      let position = this.#reader.find(offset, needed);
      if (position < 0) position = await load(this.#source, this.#reader, offset, needed);
      if (previousIsData) checkPayloadEnd(this.#reader.bytes, position, offset);
      const header = decodeFrameHeader(this.#reader.bytes, position + before, offset + before);
      const headerOffset = offset + before;
      offset = headerOffset + FRAME_HEADER_BYTES;
      previousIsData = header.kind === 'data';
      if (header.kind === 'data' || header.kind === 'zero') {
        this.#checkRange(header.start, header.length, headerOffset);
        if (previousIsData) offset = this.#addData(header.start, header.length, offset);
        else this.#add(header.start, header.length, -1, 0);
      } else if (header.kind === 'stop' && header.start === 0 && header.length === 0) {
        return this.#finish(offset);
      } else {
        throw new StreamFormatError('BAD_FRAME_HEADER', `A ${header.kind} frame cannot stand at byte ${headerOffset}`, {
          fileOffset: headerOffset,
        });
      }
    }
  }

  #checkRange(start: number, length: number, fileOffset: number): void {
    const range = `The frame at byte ${fileOffset} covers bytes ${start} to ${start + length} of the disk`;
    if (length === 0) throw new StreamFormatError('BAD_FRAME_HEADER', `${range}: it is empty`, { fileOffset });
    if (start + length > this.#meta.virtualSize) {
      throw new StreamFormatError('OUT_OF_RANGE', `${range}, which ends at ${this.#meta.virtualSize}`, { fileOffset });
    }
    if (start < this.#guestEnd) {
      throw new StreamFormatError('FRAME_ORDER', `${range}, but the frame before it ends at ${this.#guestEnd}`, {
        fileOffset,
      });
    }
    if (this.#starts.length >= MAX_FRAMES) {
      throw new StreamFormatError('LIMIT', `The file has more than ${MAX_FRAMES} frames`, { fileOffset });
    }
    this.#guestEnd = start + length;
  }

  /** Checks a data frame's place in the file and adds it. Returns the offset after its payload. */
  #addData(start: number, length: number, fileOffset: number): number {
    const stored = this.#compressed ? this.#storedLength(length, fileOffset) : length;
    if (fileOffset + stored > this.#source.size) {
      throw new StreamFormatError(
        'TRUNCATED',
        `The file ends at byte ${this.#source.size}, but the data frame from byte ${fileOffset} needs ${stored} bytes`,
        { fileOffset: this.#source.size },
      );
    }
    this.#add(start, length, fileOffset, stored);
    this.#dataFrames++;
    this.#dataSize += length;
    return fileOffset + stored;
  }

  #storedLength(length: number, fileOffset: number): number {
    const stored = this.#trailer?.sizes[this.#dataFrames];
    if (stored === undefined) throw this.#wrongTrailer('fewer entries than there are data frames', fileOffset);
    const pieces = this.#trailer?.cuts.get(this.#dataFrames);
    if (pieces !== undefined) this.#cuts.set(this.#starts.length, pieces);
    else if (length > MAX_PIECE_BYTES) {
      throw new StreamFormatError('LIMIT', `The LZ4 frame at byte ${fileOffset} is to hold ${length} bytes`, {
        fileOffset,
      });
    }
    const most = maxLz4FrameBytes(length) + 64 * ((pieces?.length ?? 1) - 1);
    if (stored > most) throw this.#wrongTrailer(`a size of ${stored} for a frame of ${length} bytes`, fileOffset);
    return stored;
  }

  #add(start: number, length: number, fileOffset: number, stored: number): void {
    this.#starts.push(start);
    this.#lengths.push(length);
    this.#fileOffsets.push(fileOffset);
    if (this.#compressed) this.#storedLengths.push(stored);
  }

  #finish(end: number): ScannedStream {
    if (this.#dataFrames !== (this.#trailer?.sizes.length ?? this.#dataFrames)) {
      throw this.#wrongTrailer('more entries than there are data frames', end);
    }
    if (end !== (this.#trailer?.start ?? this.#source.size)) {
      throw new StreamFormatError(
        'BAD_TRAILER',
        `There are bytes after the stop frame that do not belong to the file`,
        {
          fileOffset: end,
        },
      );
    }
    if (this.#dataSize !== this.#meta.dataSize) {
      const found = `dataSize is ${this.#meta.dataSize}, but the data frames hold ${this.#dataSize} bytes`;
      throw new StreamFormatError('BAD_META', `${found}: the file is damaged`, { fileOffset: 0 });
    }
    const index = new FrameIndex({
      starts: this.#starts.toArray(),
      lengths: this.#lengths.toArray(),
      fileOffsets: this.#fileOffsets.toArray(),
      storedLengths: this.#compressed ? this.#storedLengths.toArray() : undefined,
      dataSize: this.#dataSize,
    });
    return { meta: this.#meta, index, compressed: this.#compressed, cuts: this.#cuts };
  }

  #wrongTrailer(what: string, fileOffset: number): StreamFormatError {
    const message = `The trailer of the compressed file has ${what}: the file is damaged`;
    return new StreamFormatError('BAD_TRAILER', message, { fileOffset });
  }
}
