import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { BackupSet } from '@virtnbd/backup-set';
import type { Host } from '@virtnbd/host';
import { RecoveryError } from '../errors.ts';
import type { ServeEvent } from '../serve/events.ts';
import { folderExports } from '../serve/folder-exports.ts';
import { RecoveryServer } from '../serve/server.ts';
import { type GuestEntry, readEntries, readNames } from './entries.ts';
import { chooseFileSystem, type FileSystemChoice, type GuestFileSystem, readFileSystems } from './file-systems.ts';
import { Guestfish, word } from './guestfish.ts';

export interface GuestFilesRequest {
  readonly set: BackupSet;
  /** A checkpoint, a date, `latest` … */
  readonly point: string;
  /** For the socket, and libguestfs's own files. */
  readonly scratchFolder: string;
  /** Removed at the end, also when this process is killed. */
  readonly folders?: readonly string[];
}

export interface GuestFilesContext {
  readonly host: Host;
  readonly onEvent?: ((event: ServeEvent) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

const LIST_LIMIT = 1024 * 1024 * 1024;
/** Paths that are asked about at a time. */
const BATCH = 500;

/** A file or folder below another one. */
export interface FoundEntry extends GuestEntry {
  /** Below the folder, without a slash at its start. */
  readonly name: string;
}

/** Names in a folder that cannot be used here: they are not UTF-8. Their bytes are shown as `\xHH`. */
export interface Listing {
  readonly entries: readonly FoundEntry[];
  readonly unusable: readonly string[];
}

/** The files inside the disks of a restore point, read through libguestfs; nothing is mounted on this machine. */
export class GuestFiles implements AsyncDisposable {
  readonly fileSystems: readonly GuestFileSystem[];
  readonly #guestfish: Guestfish;
  readonly #folder: string;
  readonly #host: Host;
  readonly #close: () => Promise<void>;

  private constructor(opened: Opened, fileSystems: readonly GuestFileSystem[]) {
    this.fileSystems = fileSystems;
    this.#guestfish = opened.guestfish;
    this.#folder = opened.folder;
    this.#host = opened.host;
    this.#close = opened.close;
  }

  /**
   * Starts libguestfs's appliance with all disks of the point: a volume group may lie on several.
   *
   * @throws RecoveryError `MISSING_TOOL`, `GUEST_FILES`; as `folderExports`
   */
  static async open(request: GuestFilesRequest, context: GuestFilesContext): Promise<GuestFiles> {
    const { host, onEvent, signal } = context;
    const folder = join(request.scratchFolder, `virtnbd-files-${randomBytes(6).toString('hex')}`);
    const removeFolder = () => host.files.removeFolder(folder, { recursive: true });
    const start = (settings: string | undefined) =>
      Guestfish.start(host, folder, { folders: request.folders ?? [], settings, signal });
    const socket = join(folder, 'nbd.sock');
    // Before anything is made: it removes that when we are killed.
    let guestfish = await start(undefined).catch(async (error: unknown) => {
      await removeFolder();
      throw error;
    });
    let server: RecoveryServer | undefined;
    const close = async () => {
      await guestfish[Symbol.asyncDispose]();
      await server?.close();
      await removeFolder();
    };
    try {
      const { chosen } = await folderExports(request.set, request.point);
      const disks = chosen.map(({ name }) => name);
      server = await RecoveryServer.start({ exports: chosen, address: { path: socket } }, { host, onEvent });
      try {
        await guestfish.ask(...drives(disks, socket), 'run');
      } catch (error) {
        if (!mayBeKvm(error) || signal?.aborted) throw error;
        await guestfish[Symbol.asyncDispose]();
        guestfish = await start('force_tcg');
        await guestfish.ask(...drives(disks, socket), 'run');
      }
      const found = readFileSystems(await guestfish.ask('list-filesystems'), disks);
      return new GuestFiles({ guestfish, folder, host, close }, found);
    } catch (error) {
      await close().catch(() => undefined);
      throw error;
    }
  }

  /** Mounts the file system that the choice means, read-only, in the appliance. @throws RecoveryError `CHOOSE_PARTITION`, `GUEST_FILES` */
  async mount(choice: FileSystemChoice): Promise<GuestFileSystem> {
    const chosen = chooseFileSystem(this.fileSystems, choice);
    await this.#guestfish.ask(`mount-ro ${word(chosen.device)} /`);
    return chosen;
  }

  /** What stands at a path, links not followed. @throws RecoveryError `GUEST_PATH` */
  async look(path: string): Promise<GuestEntry> {
    const absolute = absoluteOf(path);
    // A broken link does not exist for `exists`.
    const found = await this.#guestfish.ask(`exists ${word(absolute)}`, `is-symlink ${word(absolute)}`);
    if (!found.includes('true')) throw new RecoveryError('GUEST_PATH', `${absolute} is not there.`);
    const [entry] = await this.#lstat([absolute]);
    if (entry === undefined) throw new RecoveryError('GUEST_PATH', `${absolute} is not there.`);
    return entry;
  }

  /** Where a path leads inside the guest, all links followed. */
  async follow(path: string): Promise<GuestEntry> {
    const absolute = absoluteOf(path);
    const [exists] = await this.#guestfish.ask(`exists ${word(absolute)}`);
    if (exists !== 'true')
      throw new RecoveryError('GUEST_PATH', `${absolute} is not there, or a link that leads nowhere.`);
    const lines = await this.#guestfish.ask(`realpath ${word(absolute)}`);
    return await this.look(lines.join('\n'));
  }

  /** What a folder holds, sorted by name; `deep` with all below, parents first. */
  async list(folder: string, options: { deep: boolean }): Promise<Listing> {
    const absolute = absoluteOf(folder);
    const base = absolute === '/' ? '/' : `${absolute}/`;
    const list = join(this.#folder, 'names');
    await this.#guestfish.ask(`${options.deep ? 'find0' : 'ls0'} ${word(base)} ${word(list)}`);
    const names = readNames(await this.#host.files.readSmall(list, LIST_LIMIT));
    const usable = names.filter(({ valid, name }) => valid && name !== '').map(({ name }) => name);
    usable.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
    const entries: FoundEntry[] = [];
    for (let start = 0; start < usable.length; start += BATCH) {
      const batch = usable.slice(start, start + BATCH);
      const found = await this.#lstat(batch.map((name) => base + name));
      entries.push(...found.map((entry, index) => ({ ...entry, name: batch[index] ?? '' })));
    }
    return { entries, unusable: names.filter(({ valid }) => !valid).map(({ name }) => name) };
  }

  /** Where a link leads, as it is written. */
  async readLink(path: string): Promise<string> {
    return (await this.#guestfish.ask(`readlink ${word(path)}`)).join('\n');
  }

  /** Writes a file's content over a file of this machine. @throws RecoveryError `GUEST_FILES` where it cannot be read */
  async download(path: string, to: string): Promise<void> {
    await this.#guestfish.ask(`download ${word(path)} ${word(to)}`);
  }

  /** Ends the appliance and the server; nothing is left. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
  }

  async #lstat(paths: readonly string[]): Promise<GuestEntry[]> {
    if (paths.length === 0) return [];
    return readEntries(await this.#guestfish.ask(...paths.map((path) => `lstatns ${word(path)}`)), paths);
  }
}

interface Opened {
  readonly guestfish: Guestfish;
  readonly folder: string;
  readonly host: Host;
  readonly close: () => Promise<void>;
}

function drives(disks: readonly string[], socket: string): string[] {
  // A list of servers is split at white space, unless that stands in quotes.
  const server = /\s/.test(socket) ? `'unix:${socket}'` : `unix:${socket}`;
  return disks.map(
    (disk) => `add-drive ${word(disk)} readonly:true format:raw protocol:nbd ${word(`server:${server}`)}`,
  );
}

/** A machine whose KVM is there but does not work gets a slow appliance rather than none, unless the user has decided. */
function mayBeKvm(error: unknown): boolean {
  if (process.env.LIBGUESTFS_BACKEND_SETTINGS !== undefined) return false;
  return error instanceof RecoveryError && error.code === 'GUEST_FILES';
}

function absoluteOf(path: string): string {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..') || path.includes('\0')) {
    throw new RecoveryError('GUEST_PATH', `${path} is no path of a guest: give it from its root, without '..'.`);
  }
  return `/${parts.join('/')}`;
}
