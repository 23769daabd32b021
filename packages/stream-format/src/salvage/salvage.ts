import { CheckedSource } from '../checks/checked-source.ts';
import type { ChunkChecksums } from '../checks/chunk-checksums.ts';
import { ChunkVerdicts } from '../checks/chunk-verdicts.ts';
import { StreamFormatError } from '../errors.ts';
import { type Codec, codecOf } from '../frames/codec.ts';
import { FrameList, type IndexedFrames } from '../frames/frame-list.ts';
import { readFrameTable } from '../frames/frame-table.ts';
import type { StreamMeta } from '../frames/meta.ts';
import { type GuestRange, StreamFile } from '../read/stream-file.ts';
import type { RandomAccessSource } from '../source.ts';
import { type SalvagedMeta, salvageMeta } from './salvage-meta.ts';
import { SalvageWalk } from './salvage-walk.ts';

export interface SalvageOptions {
  /** Chunk checksums of the file as it was. With them everything that is recovered is certain, and most is. */
  readonly checksums?: ChunkChecksums | undefined;
  /** What the meta frame said, should it be lost: from a manifest. */
  readonly meta?: StreamMeta | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Name of the file, to begin messages with. */
  readonly name?: string | undefined;
  /** Guest bytes that were looked at so far, of about as many as there are. */
  readonly onProgress?: ((progress: { done: number; total: number }) => void) | undefined;
}

/** The weakest of the proofs that what was recovered rests on. */
export type SalvageProof =
  /** Chunk checksums, or the frame table under them, of every byte. */
  | 'checksums'
  /** Checksums inside the compressed frames, of their content; their headers by structure. */
  | 'compression'
  /** Headers that fit one another. Damage inside an uncompressed payload, or to a digit that still fits, is not seen. */
  | 'structure';

export interface Salvage {
  /** What was recovered, to be read like any stream file. Its `meta.dataSize` is what was found. */
  readonly file: StreamFile;
  /** `guessed`: all names in `file.meta` are empty, sizes are what the frames need, and `incremental` is true. */
  readonly metaFrom: 'file' | 'given' | 'guessed';
  /** Whether nothing is lost: all frames up to the end mark were recovered. */
  readonly complete: boolean;
  /**
   * Guest ranges, in order, of which frames may be missing. Elsewhere the file held what `file` holds; with a guessed meta
   * frame as far as the last frame of `file`, since the size of the disk is not known.
   */
  readonly lost: readonly GuestRange[];
  /** Data and zero frames recovered, whole or in part. */
  readonly frames: number;
  /** Guest bytes in data frames recovered. */
  readonly dataBytes: number;
  readonly proof: SalvageProof;
}

/**
 * Recovers what is provably whole of a file that is cut off, has no trailer, or is damaged anywhere. The source must not
 * change meanwhile. Compressed frames are decoded one by one; a missing trailer does no harm.
 *
 * @throws StreamFormatError when nothing can be recovered: BAD_FRAME_HEADER where no frame is found; UNSUPPORTED for a
 *   version or method that is not known; `signal.reason`; errors of the source
 */
export async function salvage(source: RandomAccessSource, options: SalvageOptions = {}): Promise<Salvage> {
  return await new Salvaging(source, options).run();
}

class Salvaging {
  readonly #source: RandomAccessSource;
  readonly #options: SalvageOptions;
  readonly #lost: { start: number; length: number }[] = [];
  #proof: SalvageProof = 'checksums';
  #frames = 0;

  constructor(source: RandomAccessSource, options: SalvageOptions) {
    this.#source = source;
    this.#options = options;
  }

  async run(): Promise<Salvage> {
    const { checksums, signal, name } = this.#options;
    const verdicts = checksums && (await ChunkVerdicts.of(this.#source, checksums, { signal }));
    const { meta, from, metaFrom } = await this.#meta(verdicts);
    const codec = codecOf(meta);
    const list = new FrameList(meta, codec !== undefined);
    const known = checksums && this.#fromTable(checksums, meta, codec);
    const frames = known ? tableFrames(known) : this.#walk(meta, codec, from);
    if (known === undefined) this.#weaken('structure');
    let expected = 0; // where the next frame of the file begins at the latest, as far as all before was recovered
    let missing = false;
    for await (const frame of frames) {
      if (frame === 'gap') missing = true;
      else {
        if (missing) this.#lose(expected, frame.start);
        missing = false;
        await this.#recover(frame, list, { codec, verdicts });
        expected = frame.start + frame.length;
        this.#options.onProgress?.({ done: Math.min(expected, meta.virtualSize), total: meta.virtualSize });
      }
    }
    if (missing && metaFrom !== 'guessed') this.#lose(expected, meta.virtualSize);
    if (metaFrom === 'guessed' && this.#frames === 0) throw nothing(name);
    const { dataSize, guestEnd } = list.order;
    const virtualSize = metaFrom === 'guessed' ? guestEnd : meta.virtualSize;
    const checked = checksums !== undefined && codec === undefined;
    const readFrom = checked ? new CheckedSource(this.#source, checksums) : this.#source;
    const scanned = { meta: { ...meta, virtualSize, dataSize }, codec, ...list.build() };
    const file = new StreamFile(readFrom, scanned, name);
    const complete = !missing && this.#lost.length === 0;
    return {
      file,
      metaFrom,
      complete,
      lost: this.#lost,
      frames: this.#frames,
      dataBytes: dataSize,
      proof: this.#proof,
    };
  }

  async #meta(verdicts: ChunkVerdicts | undefined): Promise<SalvagedMeta> {
    const { meta, signal } = this.#options;
    const found = await salvageMeta(this.#source, meta, signal);
    // What is given is believed rather than a damaged chunk.
    const doubtful = meta !== undefined && verdicts?.isGood(0, found.from ?? 1) === false;
    return doubtful ? { ...found, meta, metaFrom: 'given' } : found;
  }

  /** The frames by the table in the checksums; undefined when there is none, or it does not fit the meta frame. */
  #fromTable(checksums: ChunkChecksums, meta: StreamMeta, codec: Codec | undefined): IndexedFrames | undefined {
    if (checksums.frameTable === undefined) return undefined;
    try {
      return readFrameTable(checksums.frameTable, { meta, codec, firstFrame: undefined, size: checksums.fileSize });
    } catch (error) {
      if (error instanceof StreamFormatError) return undefined;
      throw error;
    }
  }

  async *#walk(meta: StreamMeta, codec: Codec | undefined, from: number | undefined): AsyncGenerator<Lead | 'gap'> {
    const { signal } = this.#options;
    const walk = new SalvageWalk(this.#source, { codec, virtualSize: meta.virtualSize, from, signal });
    for await (const step of walk.steps()) {
      if (step.kind === 'gap') yield 'gap';
      else if (step.kind === 'frame') {
        const { start, length, stored, payload, headerOffset, pieces } = step.frame;
        const common = { start, length, stored, headerOffset, ...(pieces && { pieces }) };
        yield { ...common, fileOffset: step.frame.kind === 'zero' ? -1 : payload };
      }
    }
  }

  /** Adds what is good of a frame to the list, and the rest to what is lost. */
  async #recover(frame: Lead, list: FrameList, by: { codec: Codec | undefined; verdicts: ChunkVerdicts | undefined }) {
    const { start, length, stored, fileOffset } = frame;
    if (fileOffset < 0) {
      list.addZero(start, length, frame.headerOffset);
      this.#frames++;
    } else if (by.codec === undefined) {
      const parts = by.verdicts?.goodParts(fileOffset, stored) ?? [{ offset: fileOffset, length: stored }];
      let done = start;
      for (const part of parts) {
        const from = start + part.offset - fileOffset;
        this.#lose(done, from);
        list.addData(from, part.length, part.offset, part.length);
        done = from + part.length;
      }
      this.#lose(done, start + length);
      if (parts.length > 0) this.#frames++;
    } else if (await this.#decodes(frame, by.codec)) {
      list.addData(start, length, fileOffset, stored, frame.pieces);
      this.#frames++;
      if (!by.verdicts?.isGood(fileOffset, stored)) this.#weaken('compression');
    } else this.#lose(start, start + length);
  }

  /** Whether a compressed payload opens to its exact length. */
  async #decodes(frame: Lead, codec: Codec): Promise<boolean> {
    const { start, length, fileOffset, stored, pieces } = frame;
    if (fileOffset + stored > this.#source.size) return false;
    const list = new FrameList({ ...NO_META, virtualSize: start + length }, true);
    list.addData(start, length, fileOffset, stored, pieces);
    const alone = new StreamFile(this.#source, { meta: { ...NO_META, compressed: 1 }, codec, ...list.build() });
    try {
      for (let done = 0; done < length; ) {
        this.#options.signal?.throwIfAborted();
        done += (await alone.piece(0, done)).bytes.length;
      }
      return true;
    } catch (error) {
      if (error instanceof StreamFormatError) return false;
      throw error;
    }
  }

  #lose(start: number, end: number): void {
    if (end <= start) return;
    const last = this.#lost.at(-1);
    if (last !== undefined && last.start + last.length === start) last.length = end - last.start;
    else this.#lost.push({ start, length: end - start });
  }

  #weaken(proof: SalvageProof): void {
    if (this.#proof !== 'structure') this.#proof = proof;
  }
}

/** A frame that may be recovered; `fileOffset` is −1 for a zero frame. */
interface Lead {
  readonly start: number;
  readonly length: number;
  readonly headerOffset: number;
  readonly fileOffset: number;
  readonly stored: number;
  readonly pieces?: readonly number[];
}

const NO_META: StreamMeta = {
  virtualSize: 0,
  dataSize: 0,
  date: '',
  diskName: '',
  checkpointName: '',
  compressed: false,
  parentCheckpoint: false,
  incremental: true,
  streamVersion: 2,
  extra: {},
};

async function* tableFrames({ index }: IndexedFrames): AsyncGenerator<Lead> {
  for (let i = 0; i < index.count; i++) {
    const common = { start: index.start(i), length: index.length(i), headerOffset: 0 };
    yield { ...common, fileOffset: index.fileOffset(i), stored: index.storedLength(i) };
  }
}

function nothing(name: string | undefined): StreamFormatError {
  const what = 'No frame of a stream file was found: there is nothing to recover';
  return new StreamFormatError('BAD_FRAME_HEADER', name === undefined ? what : `${name}: ${what}`, { fileOffset: 0 });
}
