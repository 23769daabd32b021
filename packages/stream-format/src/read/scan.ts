import { StreamFormatError } from '../errors.ts';
import { type Codec, codecOf } from '../frames/codec.ts';
import { decodeFrameHeader, FRAME_HEADER_BYTES, PAYLOAD_END } from '../frames/frame-header.ts';
import { FrameList, type IndexedFrames } from '../frames/frame-list.ts';
import { decodeMeta, type StreamMeta } from '../frames/meta.ts';
import { TrailerReader } from '../frames/trailer.ts';
import { badTrailer, type TrailerEntry } from '../frames/trailer-parser.ts';
import { MAX_META_BYTES, MAX_PIECE_BYTES } from '../limits.ts';
import type { RandomAccessSource } from '../source.ts';
import { WindowedReader } from './windowed-reader.ts';

export interface ScannedStream extends IndexedFrames {
  readonly meta: StreamMeta;
  /** How payloads are compressed; undefined when they are plain. */
  readonly codec: Codec | undefined;
}

/** Reads and checks everything but the payloads: meta, trailer, every frame header, the end of the file. */
export async function scanStream(source: RandomAccessSource, signal?: AbortSignal): Promise<ScannedStream> {
  const reader = new WindowedReader(source, signal);
  const { meta, end } = await readMeta(source, reader);
  let codec = codecOf(meta);
  const trailer = codec && (await TrailerReader.open(source, codec.smallest));
  // A level of 0 stands for either; the trailer tells.
  if (meta.compressed === 0 && trailer === undefined) codec = undefined;
  const frames = await new Scan(source, reader, { meta, codec, trailer }).run(end);
  return { meta, codec, ...frames };
}

/** Reads the meta frame; `end` is the offset of the first frame after it. */
export async function readMeta(
  source: RandomAccessSource,
  reader: WindowedReader = new WindowedReader(source),
): Promise<{ meta: StreamMeta; end: number }> {
  let position = await look(source, reader, 0, FRAME_HEADER_BYTES);
  const length = decodeMetaHeader(reader.bytes, position);
  position = await look(source, reader, FRAME_HEADER_BYTES, length + PAYLOAD_END.length);
  const meta = decodeMeta(reader.bytes.slice(position, position + length));
  checkPayloadEnd(reader.bytes, position + length, FRAME_HEADER_BYTES + length);
  return { meta, end: FRAME_HEADER_BYTES + length + PAYLOAD_END.length };
}

/** The length of the JSON that the header at the start of a file declares. */
export function decodeMetaHeader(bytes: Uint8Array, position: number): number {
  const header = decodeFrameHeader(bytes, position, 0);
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
  return header.length;
}

/** Position in the reader's window of `length` bytes at `offset`; read when they are not there. */
async function look(source: RandomAccessSource, reader: WindowedReader, offset: number, length: number) {
  const position = reader.find(offset, length);
  return position >= 0 ? position : await load(source, reader, offset, length);
}

async function load(source: RandomAccessSource, reader: WindowedReader, offset: number, length: number) {
  if (offset + length > source.size) throw cutOff(source.size);
  return await reader.load(offset, length);
}

export function cutOff(size: number): StreamFormatError {
  return new StreamFormatError('TRUNCATED', `The file ends at byte ${size}, within a frame: it was cut off`, {
    fileOffset: size,
  });
}

export function checkPayloadEnd(bytes: Uint8Array, position: number, fileOffset: number): void {
  if (bytes[position] !== PAYLOAD_END[0] || bytes[position + 1] !== PAYLOAD_END[1]) {
    throw new StreamFormatError(
      'BAD_FRAME_HEADER',
      `The payload before byte ${fileOffset} is not followed by CR LF: the file is damaged there or before`,
      { fileOffset },
    );
  }
}

/** A frame that may not stand where it does. */
export function misplaced(kind: string, fileOffset: number): StreamFormatError {
  return new StreamFormatError('BAD_FRAME_HEADER', `A ${kind} frame cannot stand at byte ${fileOffset}`, {
    fileOffset,
  });
}

export function bytesAfterEnd(fileOffset: number): StreamFormatError {
  const message = 'There are bytes after the stop frame that do not belong to the file';
  return new StreamFormatError('BAD_TRAILER', message, { fileOffset });
}

/** Whether the sizes that the trailer tells of a data frame can be. */
export function checkStored(codec: Codec, entry: TrailerEntry, length: number, fileOffset: number): number {
  const pieces = typeof entry === 'number' ? 1 : entry.length;
  if (pieces === 1 ? length > MAX_PIECE_BYTES : !codec.cuts) {
    const what = pieces === 1 ? `is to hold ${length} bytes` : 'is cut, which its method does not allow';
    throw new StreamFormatError('LIMIT', `The compressed frame at byte ${fileOffset} ${what}`, { fileOffset });
  }
  const stored = typeof entry === 'number' ? entry : entry.reduce((sum, size) => sum + size, 0);
  if (stored > codec.most(length) + 64 * (pieces - 1)) {
    throw badTrailer(`has a size of ${stored} for a frame of ${length} bytes`, fileOffset);
  }
  return stored;
}

/** One pass over the headers. */
class Scan {
  readonly #source: RandomAccessSource;
  readonly #reader: WindowedReader;
  readonly #codec: Codec | undefined;
  readonly #trailer: TrailerReader | undefined;
  readonly #list: FrameList;

  constructor(
    source: RandomAccessSource,
    reader: WindowedReader,
    { meta, codec, trailer }: { meta: StreamMeta; codec: Codec | undefined; trailer: TrailerReader | undefined },
  ) {
    this.#source = source;
    this.#reader = reader;
    this.#codec = codec;
    this.#trailer = trailer;
    this.#list = new FrameList(meta, codec !== undefined);
  }

  async run(from: number): Promise<IndexedFrames> {
    let offset = from;
    let previousIsData = false;
    for (;;) {
      // The two bytes after a payload and the header that follows are looked at together.
      const before = previousIsData ? PAYLOAD_END.length : 0;
      const needed = before + FRAME_HEADER_BYTES;
      let position = this.#reader.find(offset, needed);
      if (position < 0) position = await load(this.#source, this.#reader, offset, needed);
      if (previousIsData) checkPayloadEnd(this.#reader.bytes, position, offset);
      const headerOffset = offset + before;
      const { kind, start, length } = decodeFrameHeader(this.#reader.bytes, position + before, headerOffset);
      offset = headerOffset + FRAME_HEADER_BYTES;
      previousIsData = kind === 'data';
      if (kind === 'zero') this.#list.addZero(start, length, headerOffset);
      else if (kind === 'data') {
        let entry: TrailerEntry | undefined = length;
        if (this.#codec !== undefined) entry = this.#trailer?.shift() ?? (await this.#nextEntry());
        offset = this.#addData(start, length, offset, entry);
      } else if (kind === 'stop' && start === 0 && length === 0) return await this.#finish(offset);
      else throw misplaced(kind, headerOffset);
    }
  }

  async #nextEntry(): Promise<TrailerEntry | undefined> {
    while (await this.#trailer?.more()) {
      const entry = this.#trailer?.shift();
      if (entry !== undefined) return entry;
    }
    return undefined;
  }

  /** Adds a data frame after a check of its place in the file. Returns the offset after its payload. */
  #addData(start: number, length: number, fileOffset: number, entry: TrailerEntry | undefined): number {
    if (entry === undefined) throw badTrailer('has fewer entries than there are data frames', fileOffset);
    const stored = this.#codec === undefined ? length : checkStored(this.#codec, entry, length, fileOffset);
    if (fileOffset + stored > this.#source.size) {
      throw new StreamFormatError(
        'TRUNCATED',
        `The file ends at byte ${this.#source.size}, but the data frame from byte ${fileOffset} needs ${stored} bytes`,
        { fileOffset: this.#source.size },
      );
    }
    this.#list.addData(start, length, fileOffset, stored, typeof entry === 'number' ? undefined : entry);
    return fileOffset + stored;
  }

  async #finish(end: number): Promise<IndexedFrames> {
    if (this.#trailer !== undefined && (this.#trailer.shift() ?? (await this.#nextEntry())) !== undefined) {
      throw badTrailer('has more entries than there are data frames', end);
    }
    if (end !== (this.#trailer?.start ?? this.#source.size)) throw bytesAfterEnd(end);
    this.#list.order.finish();
    return this.#list.build();
  }
}
