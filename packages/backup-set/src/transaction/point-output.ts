import { join } from 'node:path';
import type { Host, HostFile } from '@virtnbd/host';
import { BackupSetError } from '../errors.ts';
import { manifestName, PARTIAL_SUFFIX } from '../names.ts';
import type { Manifest } from '../records/manifest.ts';
import { requireAbsent, withPartial } from './transaction-plan.ts';

/** Where the files of a restore point go while a transaction makes it: into the folder, or through a pipe. */
export interface PointOutput {
  /**
   * Whether files of the point lie in the folder: then the intent names each before it exists, so that a roll-back can
   * remove just these.
   */
  readonly inFolder: boolean;
  /** @throws BackupSetError `EXISTS` when one of the names is taken */
  requireFree(names: readonly string[]): Promise<void>;
  /** Creates a data file, which the caller writes from its beginning to its end, and closes. */
  create(name: string): Promise<HostFile>;
  writeSmall(name: string, data: Uint8Array): Promise<void>;
  /** All of these are complete: makes them last, under their names. */
  seal(names: Iterable<string>): Promise<void>;
  /** Puts the manifest behind all that it names. @throws BackupSetError `DAMAGED` when something is not as it says */
  commit(manifest: Manifest, bytes: Uint8Array): Promise<void>;
  /** The point is not to be: lets go of what is open. Files in the folder are `recover`'s to remove. */
  abandon(): void;
}

/** The backup folder itself. While they are written, files have `.partial` after their names. */
export class FolderOutput implements PointOutput {
  readonly inFolder = true;
  readonly #host: Host;
  readonly #folder: string;

  constructor(host: Host, folder: string) {
    this.#host = host;
    this.#folder = folder;
  }

  async requireFree(names: readonly string[]): Promise<void> {
    await requireAbsent(this.#host, this.#folder, withPartial(names));
  }

  async create(name: string): Promise<HostFile> {
    return await this.#host.files.open(this.#partial(name), 'create', { direct: true });
  }

  async writeSmall(name: string, data: Uint8Array): Promise<void> {
    await using file = await this.create(name);
    await file.write([data]);
  }

  async seal(names: Iterable<string>): Promise<void> {
    const all = [...names];
    for (const name of all) {
      await using file = await this.#host.files.open(this.#partial(name), 'read-write');
      await file.sync();
    }
    for (const name of all)
      await this.#host.files.rename(this.#partial(name), join(this.#folder, name), { replace: false });
    await this.#host.files.syncFolder(this.#folder);
  }

  async commit(manifest: Manifest, bytes: Uint8Array): Promise<void> {
    for (const { name, size, role } of manifest.files) {
      const stat = role === 'checkpoint-xml' ? { size } : await this.#host.files.stat(join(this.#folder, name));
      if (stat?.size === size) continue;
      const text = `${name} has ${stat?.size ?? 'no'} bytes on the disk and ${size} were written to it.`;
      throw new BackupSetError('DAMAGED', text, { file: name, point: manifest.point });
    }
    await this.#host.files.writeAtomic(join(this.#folder, manifestName(manifest.point)), bytes, {
      mode: 0o600,
      replace: false,
    });
  }

  abandon(): void {}

  #partial(name: string): string {
    return join(this.#folder, `${name}${PARTIAL_SUFFIX}`);
  }
}
