import { crc32 } from '@virtnbd/checksums';
import { type Host, HostError } from '@virtnbd/host';
import {
  type ChunkChecksums,
  type GuestRange,
  type RandomAccessSource,
  type StreamFile,
  StreamFormatError,
  salvage,
} from '@virtnbd/stream-format';
import { BackupSetError } from '../errors.ts';
import { type Part, PartReader } from './part-reader.ts';

/** What is left of one file of a chain. */
export interface SalvagedLayer {
  /** Name of the file. */
  readonly name: string;
  readonly point: string;
  /** Bytes of the disk at its point. */
  readonly virtualSize: number;
  /** Whether it holds the whole disk: what lies below does not count. */
  readonly whole: boolean;
  /** What can be read of it; null when that is nothing. */
  readonly content:
    | { readonly kind: 'stream'; readonly file: StreamFile }
    | { readonly kind: 'raw'; readonly source: RandomAccessSource }
    | null;
  /** Ranges of the disk, in order, that it may have held and that are lost. */
  readonly lost: readonly GuestRange[];
  /** It is damaged, and nothing tells where: what it holds may be wrong anywhere. */
  readonly suspect: boolean;
  /** What is wrong, in words; null when nothing is. */
  readonly problem: string | null;
}

type Remains = Pick<SalvagedLayer, 'content' | 'lost' | 'suspect' | 'problem'>;

/**
 * Reads what is left of damaged files, each once, however many disks and points ask for it. They stay open until the
 * session is closed.
 */
export class SalvageSession implements AsyncDisposable {
  readonly #reader: PartReader;
  readonly #signal: AbortSignal | undefined;
  readonly #partsOf: (disk: string, point: string) => readonly Part[];
  readonly #layers = new Map<string, SalvagedLayer>();

  /** Use `BackupSet.salvage`. */
  constructor(
    host: Host,
    folder: string,
    partsOf: (disk: string, point: string) => readonly Part[],
    signal: AbortSignal | undefined,
  ) {
    this.#signal = signal;
    this.#partsOf = partsOf;
    this.#reader = new PartReader(host, folder, signal === undefined ? {} : { signal }, 0);
  }

  /**
   * What is left of the files that make a disk at a point, base first.
   *
   * @param point names it, as for `BackupSet.point`
   * @throws BackupSetError `GAP` and the like when the chain itself is broken; HostError when a file cannot be read for
   *   reasons of this host
   */
  async layers(disk: string, point: string): Promise<SalvagedLayer[]> {
    const layers: SalvagedLayer[] = [];
    for (const part of this.#partsOf(disk, point)) {
      const known = this.#layers.get(part.disk.file) ?? (await this.#layer(part));
      this.#layers.set(part.disk.file, known);
      layers.push(known);
    }
    return layers;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#reader.close();
  }

  async #layer(part: Part): Promise<SalvagedLayer> {
    const { disk, point } = part;
    const { virtualSize, incremental } = disk;
    const common = { name: disk.file, point: point.id, virtualSize, whole: !incremental };
    try {
      // Where a checksum of the whole file agrees there is nothing to look for.
      if (point.manifest === null)
        return { ...common, ...(await this.#open(part)), lost: [], suspect: false, problem: null };
      return { ...common, ...(await this.#byChunks(part)) };
    } catch (error) {
      this.#signal?.throwIfAborted();
      if (!isDamage(error)) throw error;
      return { ...common, ...(await this.#without(part, error.message)) };
    }
  }

  async #open(part: Part): Promise<Pick<SalvagedLayer, 'content'>> {
    if (part.disk.kind === 'raw') {
      const { source } = await this.#reader.openSource(part);
      return { content: { kind: 'raw', source } };
    }
    const { file } = await this.#reader.openLayer(part);
    return { content: { kind: 'stream', file } };
  }

  async #byChunks(part: Part): Promise<Remains> {
    const { disk, point } = part;
    const file = await this.#reader.open(disk.file, point.id);
    const size = await file.size();
    const source: RandomAccessSource = { size, read: (offset, buffer) => file.read(offset, buffer) };
    const checksums = await this.#reader.checksumsOf(part);
    if (disk.kind === 'raw') return await this.#rawByChunks(disk.file, source, checksums);
    const options = { checksums, name: disk.file, ...(this.#signal && { signal: this.#signal }) };
    const { file: found, lost, metaFrom } = await salvage(source, options);
    const { virtualSize, incremental, diskName } = found.meta;
    const isIt = virtualSize === disk.virtualSize && incremental === disk.incremental && diskName === disk.disk;
    if (metaFrom !== 'file' || !isIt) throw new StreamFormatError('BAD_META', `The header of ${disk.file} is lost`);
    const problem = lost.length > 0 || size !== disk.fileSize ? `${disk.file} is damaged.` : null;
    return { content: { kind: 'stream', file: found }, lost, suspect: false, problem };
  }

  async #rawByChunks(name: string, source: RandomAccessSource, checksums: ChunkChecksums): Promise<Remains> {
    const lost = await damagedRanges(source, checksums, this.#signal);
    return {
      content: { kind: 'raw', source },
      lost,
      suspect: false,
      problem: lost.length > 0 ? `${name} is damaged.` : null,
    };
  }

  /** What a damaged file gives without checksums that would tell where the damage is. */
  async #without({ disk, point }: Part, problem: string): Promise<Remains> {
    const all = [{ start: 0, length: disk.virtualSize }];
    const nothing = { content: null, lost: all, suspect: false, problem };
    try {
      const file = await this.#reader.open(disk.file, point.id);
      const source = { size: await file.size(), read: file.read.bind(file) };
      if (disk.kind === 'raw') {
        return source.size === disk.virtualSize
          ? { ...nothing, content: { kind: 'raw', source }, lost: [], suspect: true }
          : nothing;
      }
      const found = await salvage(source, { name: disk.file, ...(this.#signal && { signal: this.#signal }) });
      const { virtualSize, incremental, diskName } = found.file.meta;
      const isIt = virtualSize === disk.virtualSize && incremental === disk.incremental && diskName === disk.disk;
      if (found.metaFrom !== 'file' || !isIt) return nothing;
      // Content that proves itself is lost, or good; anything else may be wrong anywhere.
      const suspect = found.proof === 'structure' || found.complete;
      return { content: { kind: 'stream', file: found.file }, lost: found.lost, suspect, problem };
    } catch (error) {
      this.#signal?.throwIfAborted();
      if (!isDamage(error)) throw error;
      return nothing;
    }
  }
}

/** The chunks of a raw image that are not what they were. */
async function damagedRanges(
  source: RandomAccessSource,
  checksums: ChunkChecksums,
  signal: AbortSignal | undefined,
): Promise<GuestRange[]> {
  const lost: { start: number; length: number }[] = [];
  const { chunkSize, fileSize } = checksums;
  const buffer = new Uint8Array(chunkSize);
  for (let start = 0; start < fileSize; start += chunkSize) {
    signal?.throwIfAborted();
    const chunk = buffer.subarray(0, Math.min(chunkSize, fileSize - start));
    const there = start + chunk.length <= source.size;
    if (there) await source.read(start, chunk);
    if (there && crc32(chunk) === checksums.crc(start / chunkSize)) continue;
    const last = lost.at(-1);
    if (last !== undefined && last.start + last.length === start) last.length += chunk.length;
    else lost.push({ start, length: chunk.length });
  }
  return lost;
}

/** Whether an error tells of the files, rather than of this host or of us. */
function isDamage(error: unknown): error is Error {
  if (error instanceof BackupSetError) return true;
  if (error instanceof StreamFormatError) return error.code !== 'USAGE';
  return (
    error instanceof HostError && (error.code === 'NOT_FOUND' || error.code === 'SHORT_READ' || error.code === 'IO')
  );
}
