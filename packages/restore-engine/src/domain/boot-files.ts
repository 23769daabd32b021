import { basename, join, normalize } from 'node:path';
import { assertSafeName, type BackupSet, BackupSetError, bootFileName, type RestorePoint } from '@virtnbd/backup-set';
import type { DirectoryEntry, Host } from '@virtnbd/host';
import { RestoreError } from '../errors.ts';
import { BOOT_KINDS, type BootKind } from './adjustment.ts';
import { check } from './checked-copy.ts';

/** One file to restore. */
export interface PlannedBootFile {
  readonly kind: BootKind;
  /** Its name in the backup folder. */
  readonly source: string;
  /** 64 hex digits; null where the folder does not tell. */
  readonly sha256: string | null;
  readonly to:
    | { readonly place: 'folder'; readonly name: string }
    | { readonly place: 'original'; readonly path: string };
}

export interface BootPlan {
  readonly files: readonly PlannedBootFile[];
  /** New paths for the configuration; null for what libvirt is to make anew. */
  readonly paths: ReadonlyMap<BootKind, string | null>;
  readonly warnings: readonly string[];
}

export interface BootQuestion {
  /** Where the backup folder is. */
  readonly host: Host;
  readonly set: BackupSet;
  readonly point: RestorePoint;
  /** The part of its files' names that says to which point they belong. */
  readonly ident: string;
  /** As the configuration has them. */
  readonly paths: ReadonlyMap<BootKind, string>;
  /** Where the VM is restored to. */
  readonly targetHost: Host;
  /** Absolute. */
  readonly targetFolder: string;
  /** Names in the target folder that are given already. */
  readonly taken: readonly string[];
  readonly adjust: boolean;
  readonly toOriginalPlaces: boolean;
  /** Told of what is damaged, which is then left out; else it is refused: here, or when it is copied. */
  readonly onDamage?: (message: string) => void;
}

/**
 * Decides what becomes of the files that the VM needs to start. The variables of its firmware are its own: an adjusted
 * VM gets a copy of them. Of the others the host's are used where it has them.
 *
 * @throws RestoreError BAD_DOMAIN, NAME_CLASH; BackupSetError MISSING_FILE, BAD_NAME; HostError
 */
export async function planBootFiles(question: BootQuestion): Promise<BootPlan> {
  const entries = await question.host.files.list(question.set.folder);
  const planner = new BootPlanner(question, entries);
  for (const kind of BOOT_KINDS) {
    const path = question.paths.get(kind);
    if (path !== undefined) await planner.add(kind, path);
  }
  return planner;
}

class BootPlanner implements BootPlan {
  readonly files: PlannedBootFile[] = [];
  readonly paths = new Map<BootKind, string | null>();
  readonly warnings: string[] = [];
  readonly #question: BootQuestion;
  readonly #entries: readonly DirectoryEntry[];
  readonly #taken: Set<string>;

  constructor(question: BootQuestion, entries: readonly DirectoryEntry[]) {
    this.#question = question;
    this.#entries = entries;
    this.#taken = new Set(question.taken);
  }

  async add(kind: BootKind, path: string): Promise<void> {
    const { adjust, toOriginalPlaces, targetHost } = this.#question;
    const saved = await this.#find(path);
    const there = path.startsWith('/') && (await targetHost.files.stat(path)) !== null;
    if (kind === 'nvram' && adjust) {
      if (saved !== null) this.#toFolder(kind, path, saved);
      else {
        this.paths.set(kind, null);
        this.warnings.push(`the backup does not hold the firmware's variables (${path}): they begin anew`);
      }
    } else if (there) return;
    else if (saved === null) this.warnings.push(`${kind}: ${path} is neither on this host nor in the backup`);
    else if (toOriginalPlaces) this.#toOriginal(kind, path, saved);
    else if (adjust) this.#toFolder(kind, path, saved);
    else this.warnings.push(`${kind}: ${path} is not on this host; the backup holds it: --restore-boot-files`);
  }

  #toFolder(kind: BootKind, path: string, saved: Saved): void {
    const base = assertSafeName(basename(path));
    const name = [base, assertSafeName(`${kind}.${base}`)].find((each) => !this.#taken.has(each));
    if (name === undefined)
      throw new RestoreError('NAME_CLASH', `the ${kind} ${base} finds no name of its own in the target folder`);
    this.#taken.add(name);
    this.files.push({ kind, ...saved, to: { place: 'folder', name } });
    this.paths.set(kind, join(this.#question.targetFolder, name));
  }

  #toOriginal(kind: BootKind, path: string, saved: Saved): void {
    // Not that such a path were safe: this is done for one who asks for it, and names just the place it says.
    if (normalize(path) !== path || !path.startsWith('/') || path.endsWith('/'))
      throw new RestoreError('BAD_DOMAIN', `the VM's configuration has no plain path for its ${kind}: ${path}`);
    assertSafeName(basename(path));
    this.files.push({ kind, ...saved, to: { place: 'original', path } });
  }

  /** A file of the point, and no link: a folder from elsewhere does not get at files of this host. */
  async #find(path: string): Promise<Saved | null> {
    const { host, set, point, ident, onDamage } = this.#question;
    const name = nameOf(path, ident);
    if (name === null) return null;
    const recorded = point.manifest?.files.find((file) => file.name === name && file.role === 'boot');
    const isFile = this.#entries.some((entry) => entry.name === name && entry.kind === 'file');
    if (recorded === undefined) return isFile && point.manifest === null ? { source: name, sha256: null } : null;
    const saved = { source: name, sha256: recorded.sha256 ?? null };
    try {
      if (!isFile) throw missing(name, point.id);
      if (onDamage !== undefined) await check({ host, path: join(set.folder, name), name, sha256: saved.sha256 });
      return saved;
    } catch (error) {
      if (onDamage === undefined || !(error instanceof BackupSetError)) throw error;
      onDamage(error.message);
      return null;
    }
  }
}

function missing(name: string, point: string): BackupSetError {
  const text = `${name}, a file of ${point}, is missing. Use another copy of the folder.`;
  return new BackupSetError('MISSING_FILE', text, { file: name, point });
}

type Saved = Pick<PlannedBootFile, 'source' | 'sha256'>;

/** null for a path whose file no backup can hold. */
function nameOf(path: string, ident: string): string | null {
  try {
    return bootFileName(basename(path), ident);
  } catch (error) {
    if (error instanceof BackupSetError) return null;
    throw error;
  }
}
