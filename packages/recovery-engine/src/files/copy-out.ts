import { basename, dirname, join } from 'node:path/posix';
import { type Attributes, type Host, HostError, LocalTree } from '@virtnbd/host';
import { RecoveryError } from '../errors.ts';
import type { GuestEntry } from './entries.ts';
import type { FileSystemChoice } from './file-systems.ts';
import type { FoundEntry } from './guest-files.ts';
import { GuestFiles, type GuestFilesContext, type GuestFilesRequest } from './guest-files.ts';

export interface CopyRequest extends Omit<GuestFilesRequest, 'folders'> {
  readonly choice: FileSystemChoice;
  /** Paths inside the guest. */
  readonly sources: readonly string[];
  /** A folder that is there, or, for one source, the name that it gets. */
  readonly target: string;
  /** Folders with all that is in them; links stay links. */
  readonly recursive?: boolean | undefined;
  /** Files that are there are replaced. */
  readonly force?: boolean | undefined;
  /** Numbers of user and group are taken over; needs root. */
  readonly owner?: boolean | undefined;
}

export interface CopyContext extends GuestFilesContext {
  readonly onProgress?: ((progress: CopyProgress) => void) | undefined;
  /** A file that is left out, and why. */
  readonly onSkip?: ((path: string, reason: string) => void) | undefined;
}

export interface CopyProgress {
  /** Bytes of files. */
  readonly done: number;
  readonly total: number;
}

export interface CopyResult {
  readonly files: number;
  readonly bytes: number;
}

/**
 * Copies files out of a restore point. Names come from the guest and are not trusted: nothing is written outside of the target.
 *
 * @throws RecoveryError `GUEST_PATH`, `CHOOSE_PARTITION`, `GUEST_FILES`; HostError `EXISTS` for a file that is there
 */
export async function copyOut(request: CopyRequest, context: CopyContext): Promise<CopyResult> {
  const place = await placeFor(context.host, request);
  await using tree = await LocalTree.open(place.folder);
  await using files = await GuestFiles.open({ ...request, folders: [tree.staging] }, context);
  await files.mount(request.choice);
  const items: Item[] = [];
  for (const source of request.sources) items.push(...(await itemsOf(files, source, place.name, request, context)));
  return await new Copier(files, tree, request, context).copy(items);
}

/** Something to be made, `to` below the target. */
interface Item {
  readonly entry: GuestEntry;
  readonly to: string;
}

async function placeFor(host: Host, { target, sources }: CopyRequest): Promise<{ folder: string; name?: string }> {
  const stat = await host.files.stat(target);
  if (stat?.kind === 'folder') return { folder: target };
  if (sources.length === 1) return { folder: dirname(target), name: basename(target) };
  throw new RecoveryError('USAGE', `Several files go into a folder, and ${target} is none.`);
}

async function itemsOf(
  files: GuestFiles,
  source: string,
  name: string | undefined,
  { recursive }: CopyRequest,
  { onSkip }: CopyContext,
): Promise<Item[]> {
  const entry = recursive ? await files.look(source) : await files.follow(source);
  const own = name ?? basename(source);
  if (entry.kind !== 'folder') {
    if (entry.kind === 'file' || entry.kind === 'link') return [{ entry, to: own }];
    throw new RecoveryError(
      'GUEST_PATH',
      `${entry.path} is a ${entry.kind}; only files, folders and links are copied.`,
    );
  }
  if (!recursive) throw new RecoveryError('GUEST_PATH', `${entry.path} is a folder: copy it with -r.`);
  const { entries, unusable } = await files.list(entry.path, { deep: true });
  for (const each of unusable) onSkip?.(each, 'its name is not UTF-8');
  // The whole file system goes into the target itself.
  const below = (found: FoundEntry): Item => ({ entry: found, to: own === '' ? found.name : join(own, found.name) });
  return [...(own === '' ? [] : [{ entry, to: own }]), ...entries.map(below)];
}

class Copier {
  readonly #files: GuestFiles;
  readonly #tree: LocalTree;
  readonly #request: CopyRequest;
  readonly #context: CopyContext;
  #count = 0;
  #done = 0;

  constructor(files: GuestFiles, tree: LocalTree, request: CopyRequest, context: CopyContext) {
    this.#files = files;
    this.#tree = tree;
    this.#request = request;
    this.#context = context;
  }

  async copy(items: readonly Item[]): Promise<CopyResult> {
    const total = items.reduce((sum, { entry }) => sum + (entry.kind === 'file' ? entry.size : 0), 0);
    await this.#requireFree(items);
    for (const item of items) {
      this.#context.signal?.throwIfAborted();
      await this.#make(item);
      this.#context.onProgress?.({ done: this.#done, total });
    }
    // Folders last, the deepest first: what is put into one changes its time, and it may not be writable by us.
    const folders = items.filter(({ entry }) => entry.kind === 'folder').reverse();
    for (const { entry, to } of folders) await this.#tree.setAttributes(to, this.#attributesOf(entry));
    return { files: this.#count, bytes: this.#done };
  }

  /** Looked at before anything is written: half a copy helps nobody. */
  async #requireFree(items: readonly Item[]): Promise<void> {
    if (this.#request.force) return;
    for (const { entry, to } of items) {
      const kind = await this.#tree.kindOf(to).catch((error: unknown) => {
        // A part of the path is no folder: making it will tell.
        if (error instanceof HostError && error.code === 'WRONG_KIND') return null;
        throw error;
      });
      if (kind === null || (kind === 'folder' && entry.kind === 'folder')) continue;
      throw new HostError('EXISTS', `${to} is there already, and is replaced only with --force`, { path: to });
    }
  }

  async #make({ entry, to }: Item): Promise<void> {
    const replace = this.#request.force === true;
    switch (entry.kind) {
      case 'folder':
        return await this.#tree.makeFolder(to);
      case 'link':
        await this.#tree.makeLink(to, await this.#files.readLink(entry.path), { replace });
        return await this.#tree.setAttributes(to, { ...this.#attributesOf(entry), mode: undefined });
      case 'file': {
        const staged = await this.#tree.stage();
        await this.#files.download(entry.path, staged);
        await this.#tree.place(staged, to, { replace });
        await this.#tree.setAttributes(to, this.#attributesOf(entry));
        this.#count += 1;
        this.#done += entry.size;
        return;
      }
      default:
        this.#context.onSkip?.(entry.path, `it is a ${entry.kind}`);
    }
  }

  #attributesOf({ mode, modified, uid, gid }: GuestEntry): Attributes {
    return { mode, modified, owner: this.#request.owner ? { uid, gid } : undefined };
  }
}
