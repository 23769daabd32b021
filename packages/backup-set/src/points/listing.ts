import { join } from 'node:path';
import { type DirectoryEntry, type Host, HostError, isTemporaryName } from '@virtnbd/host';
import { BackupSetError } from '../errors.ts';
import { CHECKPOINT_FOLDER, checkpointNumber, imageInfoName, PARTIAL_SUFFIX, parseFileName } from '../names.ts';
import { readCheckpointFolder, type StoredCheckpoint } from '../records/checkpoint-files.ts';
import { readIntents } from '../records/intent.ts';
import { decodeManifest, MANIFEST_LIMIT, type Manifest } from '../records/manifest.ts';
import type { FoundData } from './legacy-points.ts';
import type { RestorePoint, SetProblem } from './point.ts';
import { readStreamHeader, type StreamHeader } from './stream-header.ts';

export interface OpenSetOptions {
  signal?: AbortSignal;
  /** Where the checkpoints' XML lies when that is not `checkpoints` in the folder. */
  checkpointFolder?: string;
  /**
   * The folder is one that zip streams are made from: its checkpoints tell which points there are, and their data is
   * elsewhere.
   */
  piped?: boolean;
}

/** What lies in a folder, read and sorted; no judgement on chains yet. */
export interface Listing {
  manifests: Manifest[];
  /** Points whose manifest cannot be read: they exist, and cannot be used. */
  damagedPoints: RestorePoint[];
  /** Data files that count without a manifest. */
  legacyData: FoundData[];
  hasCopyXml: boolean;
  storedCheckpoints: StoredCheckpoint[];
  /** Bytes of every file, by name. */
  sizes: Map<string, number>;
  problems: SetProblem[];
}

type DataName = Pick<FoundData, 'disk' | 'level' | 'ident'>;
const IMAGE_INFO_LIMIT = 1024 * 1024;

export async function listFolder(host: Host, folder: string, options: OpenSetOptions): Promise<Listing> {
  return await new Lister(host, folder, options).list();
}

class Lister {
  readonly #host: Host;
  readonly #folder: string;
  readonly #options: OpenSetOptions;
  readonly #problems: SetProblem[] = [];
  readonly #manifests: Manifest[] = [];
  readonly #damaged: RestorePoint[] = [];
  readonly #sizes = new Map<string, number>();
  readonly #adopted = new Map<string, number>();

  constructor(host: Host, folder: string, options: OpenSetOptions) {
    this.#host = host;
    this.#folder = folder;
    this.#options = options;
  }

  async list(): Promise<Listing> {
    const entries = await this.#host.files.list(this.#folder);
    const names = entries.filter(isFile).map(({ name }) => name);
    for (const name of names) await this.#addSize(name);
    for (const name of this.#sizes.keys()) await this.#readManifest(name);
    const storedCheckpoints = await this.#readCheckpoints();
    const unfinished = await this.#readIntentFiles();
    const legacyData = await this.#readLegacy(unfinished);
    this.#noteLeftovers(unfinished);
    return {
      manifests: this.#manifests,
      damagedPoints: this.#damaged,
      legacyData,
      hasCopyXml: this.#sizes.has('vmconfig.copy.xml'),
      storedCheckpoints,
      sizes: this.#sizes,
      problems: this.#problems,
    };
  }

  async #addSize(name: string): Promise<void> {
    this.#options.signal?.throwIfAborted();
    const stat = await this.#host.files.stat(join(this.#folder, name));
    if (stat?.kind === 'file') this.#sizes.set(name, stat.size);
  }

  async #readManifest(name: string): Promise<void> {
    const parsed = parseFileName(name);
    if (parsed?.kind !== 'manifest' || parsed.partial) return;
    const id = parsed.ident;
    try {
      const manifest = decodeManifest(await this.#read(name, MANIFEST_LIMIT), name);
      if (manifest.point === id) this.#manifests.push(manifest);
      else throw new BackupSetError('BAD_MANIFEST', `${name} tells of the point ${manifest.point}: it was renamed.`);
    } catch (error) {
      if (!(error instanceof BackupSetError)) throw error;
      const fault = { code: 'DAMAGED' as const, message: error.message, files: [name], point: id };
      this.#damaged.push(damagedPoint(id, { ...fault, severity: 'error' }));
    }
  }

  async #read(name: string, limit: number): Promise<Uint8Array> {
    try {
      return await this.#host.files.readSmall(join(this.#folder, name), limit);
    } catch (cause) {
      if (!(cause instanceof HostError) || (cause.code !== 'TOO_LARGE' && cause.code !== 'WRONG_KIND')) throw cause;
      throw new BackupSetError('BAD_MANIFEST', `${name}: ${cause.message}`, { file: name, cause });
    }
  }

  async #readCheckpoints(): Promise<StoredCheckpoint[]> {
    const inside = this.#options.checkpointFolder === undefined;
    const path = this.#options.checkpointFolder ?? join(this.#folder, CHECKPOINT_FOLDER);
    const stored = await readCheckpointFolder(this.#host, path, (error) => {
      this.#note('DAMAGED', error.message, [error.file ?? '']);
    });
    if (inside) {
      for (const { file } of stored) {
        const stat = await this.#host.files.stat(join(path, file));
        if (stat?.kind === 'file') this.#sizes.set(`${CHECKPOINT_FOLDER}/${file}`, stat.size);
      }
    }
    return stored;
  }

  /** Names that runs which have not committed will make or have made, each with the point that it was to be of. */
  async #readIntentFiles(): Promise<Map<string, string>> {
    const committed = new Set(this.#manifests.map(({ point }) => point));
    const unfinished = new Map<string, string>();
    try {
      for (const { point, files, adopted } of await readIntents(this.#host, this.#folder)) {
        for (const { name, size } of adopted) this.#adopted.set(name, size);
        if (committed.has(point)) continue;
        for (const file of files) unfinished.set(file, point);
        const message = `A run that was to make ${point} has not ended. The next backup into the folder clears it away.`;
        this.#problems.push({ code: 'UNFINISHED', message, files: [`${point}.intent.json`], severity: 'note', point });
      }
    } catch (error) {
      if (!(error instanceof BackupSetError)) throw error;
      this.#note('DAMAGED', error.message, error.files);
    }
    return unfinished;
  }

  async #readLegacy(unfinished: ReadonlyMap<string, string>): Promise<FoundData[]> {
    const named = new Set(this.#manifests.flatMap(({ files }) => files.map(({ name }) => name)));
    const found: { data: FoundData; ours: boolean }[] = [];
    for (const [name, size] of this.#sizes) {
      const parsed = parseFileName(name);
      if (parsed?.kind !== 'data' || parsed.partial || named.has(name) || unfinished.has(name)) continue;
      found.push(await this.#readData(name, parsed, size));
    }
    // A raw image says nothing of who made it: where we have been at work it needs a manifest.
    const oursHere =
      this.#manifests.length + this.#damaged.length + unfinished.size > 0 || found.some(({ ours }) => ours);
    for (const { name, size } of this.#manifests.flatMap(({ adopted }) => adopted ?? [])) this.#adopted.set(name, size);
    return found.flatMap(({ data, ours }) => {
      const strayRaw = data.content.kind === 'raw' && oursHere && this.#adopted.get(data.name) !== data.size;
      if (!ours && !strayRaw) return [data];
      const message = `${data.name} does not count: it is in no manifest. A run that made it has not ended, or the manifest is lost.`;
      this.#problems.push({ code: 'NO_MANIFEST', message, files: [data.name], severity: 'error' });
      return [];
    });
  }

  async #readData(name: string, parsed: DataName, size: number): Promise<{ data: FoundData; ours: boolean }> {
    const { disk, level, ident } = parsed;
    const header = await this.#readHeader(name, size);
    const ours = header !== null && typeof header !== 'string' && header.ours;
    return { data: { name, disk, level, ident, size, content: await this.#content(name, parsed, size, header) }, ours };
  }

  async #readHeader(name: string, size: number): Promise<StreamHeader | string | null> {
    this.#options.signal?.throwIfAborted();
    try {
      await using file = await this.#host.files.open(join(this.#folder, name), 'read');
      return await readStreamHeader({ size, read: (offset, buffer) => file.read(offset, buffer) });
    } catch (error) {
      if (!(error instanceof HostError) || error.code === 'LIMIT') throw error;
      return error.message;
    }
  }

  /** A file that is no stream is a raw image only where one may stand, and when nothing speaks against it. */
  async #content(
    name: string,
    { disk, level }: DataName,
    size: number,
    header: StreamHeader | string | null,
  ): Promise<FoundData['content']> {
    if (typeof header === 'string') return { kind: 'damaged', reason: header };
    if (header !== null) return { kind: 'stream', header };
    const noStream = 'it does not begin like a stream file';
    if (level === 'inc' || level === 'diff') return { kind: 'damaged', reason: noStream };
    if (this.#sizes.has(`${name}.chksum`))
      return { kind: 'damaged', reason: `${noStream}, and a raw image has no .chksum` };
    const expected = await this.#imageSize(disk, level);
    if (size % 512 === 0 && size > 0 && (expected === null || expected === size)) return { kind: 'raw' };
    return { kind: 'damaged', reason: `${noStream} and has not the size of a raw image of the disk` };
  }

  /** The disk's size as its `qcow.json` says it; null when there is none that could be read. */
  async #imageSize(disk: string, level: string): Promise<number | null> {
    const idents = level === 'copy' ? ['copy'] : ['virtnbdbackup.0'];
    for (const name of idents.map((ident) => imageInfoName(disk, ident))) {
      if ((this.#sizes.get(name) ?? Number.POSITIVE_INFINITY) > IMAGE_INFO_LIMIT) continue;
      const bytes = await this.#host.files.readSmall(join(this.#folder, name), IMAGE_INFO_LIMIT);
      const match = /"virtual-size":\s*(\d{1,16})\b/.exec(Buffer.from(bytes).toString('latin1'));
      if (match?.[1] !== undefined) return Number(match[1]);
    }
    return null;
  }

  #noteLeftovers(unfinished: ReadonlyMap<string, string>): void {
    const domains: string[] = [];
    for (const name of this.#sizes.keys()) {
      const parsed = parseFileName(name);
      if (parsed?.partial || unfinished.has(name) || isTemporaryName(name)) {
        const point = unfinished.get(name) ?? unfinished.get(name.slice(0, -PARTIAL_SUFFIX.length));
        this.#note('UNFINISHED', `${name} was left by a run that did not end.`, [name], point);
      } else if (parsed?.kind === 'adler32' && !this.#sizes.has(name.slice(0, -'.chksum'.length))) {
        this.#note('ORPHAN', `${name} is the checksum of a file that is not there.`, [name]);
      } else if (parsed?.kind === 'chunks' && !this.#sizes.has(`${name.slice(0, -'.chunks'.length)}.data`)) {
        this.#note('ORPHAN', `${name} holds the checksums of a file that is not there.`, [name]);
      } else if (parsed?.kind === 'checkpoint-list') domains.push(name);
    }
    if (domains.length > 1) this.#note('FOREIGN', 'The folder holds the checkpoint lists of several VMs.', domains);
  }

  #note(code: SetProblem['code'], message: string, files: readonly string[], point?: string): void {
    this.#problems.push({ code, message, files, severity: 'note', ...(point !== undefined && { point }) });
  }
}

function isFile({ kind }: DirectoryEntry): boolean {
  return kind === 'file' || kind === 'link';
}

/** Stands where a point would: `latest` must not quietly mean an older one. */
function damagedPoint(id: string, fault: SetProblem): RestorePoint {
  const number = checkpointNumber(id);
  const level = id === 'copy' ? 'copy' : number === null ? 'diff' : number === 0 ? 'full' : 'inc';
  return { id, level, checkpoint: '', parent: null, date: '', manifest: null, disks: [], faults: [fault] };
}
