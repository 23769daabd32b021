import { type ByteSink, HostError, type HostFile } from '@virtnbd/host';
import { BackupSetError } from '../errors.ts';
import { checkpointListName, manifestName } from '../names.ts';
import type { Manifest } from '../records/manifest.ts';
import type { PointOutput } from '../transaction/point-output.ts';
import { type ZipEntryWriter, ZipWriter } from './zip-writer.ts';

/**
 * A zip stream whose entries are named as the files of a folder: unpacked, it is a backup folder. The manifest is the last
 * entry, and the point exists once the sink has taken the whole zip.
 */
export class ZipOutput implements PointOutput {
  readonly inFolder = false;
  readonly #zip: ZipWriter;
  readonly #names = new Set<string>();
  readonly #sizes = new Map<string, number>();
  readonly #checkpoints: readonly string[];
  #open = false;

  /**
   * @param sink where the zip goes
   * @param checkpoints what DOMAIN.cpt is to say; empty when there is to be none
   */
  constructor(sink: ByteSink, checkpoints: readonly string[], signal?: AbortSignal) {
    this.#zip = new ZipWriter(sink, signal);
    this.#checkpoints = checkpoints;
  }

  async requireFree(names: readonly string[]): Promise<void> {
    const file = names.find((name) => this.#names.has(name));
    if (file !== undefined) throw new BackupSetError('EXISTS', `${file} is in the zip already.`, { file });
  }

  async create(name: string): Promise<HostFile> {
    if (this.#open) throw new BackupSetError('STATE', `${name} must wait: a zip takes one file after the other.`);
    this.#names.add(name);
    this.#open = true;
    return new ZipEntryFile(name, this.#zip.begin(name), (size) => {
      this.#open = false;
      this.#sizes.set(name, size);
    });
  }

  async writeSmall(name: string, data: Uint8Array): Promise<void> {
    if (this.#open) throw new BackupSetError('STATE', `${name} must wait: a zip takes one file after the other.`);
    this.#names.add(name);
    await this.#zip.add(name, data);
    this.#sizes.set(name, data.length);
  }

  async seal(): Promise<void> {
    // What has been handed on cannot be called back or made more certain: `commit` tells.
  }

  async commit(manifest: Manifest, bytes: Uint8Array): Promise<void> {
    for (const { name, size } of manifest.files) {
      if (this.#sizes.get(name) === size) continue;
      const text = `${name} has ${this.#sizes.get(name) ?? 'no'} bytes in the zip, and ${size} by its checksums.`;
      throw new BackupSetError('DAMAGED', text, { file: name, point: manifest.point });
    }
    if (this.#checkpoints.length > 0)
      await this.writeSmall(checkpointListName(manifest.domain.name), Buffer.from(JSON.stringify(this.#checkpoints)));
    await this.writeSmall(manifestName(manifest.point), bytes);
    await this.#zip.finish();
  }

  abandon(): void {
    this.#zip.abandon();
  }
}

/** An entry as a file that can only be written, from its beginning to its end. */
class ZipEntryFile implements HostFile {
  readonly path: string;
  readonly #entry: ZipEntryWriter;
  readonly #onClose: (size: number) => void;
  #size = 0;
  #last: Promise<void> = Promise.resolve();
  #closing: Promise<void> | undefined;

  constructor(path: string, entry: ZipEntryWriter, onClose: (size: number) => void) {
    this.path = path;
    this.#entry = entry;
    this.#onClose = onClose;
  }

  async size(): Promise<number> {
    return this.#size;
  }

  write(chunks: readonly Uint8Array[]): Promise<void> {
    const done = this.#last.then(async () => {
      for (const chunk of chunks) {
        await this.#entry.write(chunk);
        this.#size += chunk.length;
      }
    });
    this.#last = done;
    done.catch(() => undefined);
    return done;
  }

  async sync(): Promise<void> {}

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A failure is told by whatever was asked of the zip when it came, and by all that is asked later.
    await this.close().catch(() => undefined);
  }

  async #close(): Promise<void> {
    // After a failure the entry ends nowhere: whoever wrote has heard of it.
    const sound = await this.#last.then(
      () => true,
      () => false,
    );
    if (sound) await this.#entry.close();
    this.#onClose(this.#size);
  }

  async read(): Promise<void> {
    throw this.#refuse('read');
  }

  async writeAt(): Promise<void> {
    throw this.#refuse('written out of order');
  }

  async truncate(): Promise<void> {
    throw this.#refuse('cut');
  }

  #refuse(what: string): HostError {
    return new HostError('BAD_ARGUMENT', `${this.path} goes into a zip stream and cannot be ${what}`, {
      path: this.path,
    });
  }
}
