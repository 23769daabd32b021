import { randomBytes } from 'node:crypto';
import { basename, dirname, join } from 'node:path';
import { type Host, HostError, type HostIdentity } from '@virtnbd/host';
import { BackupSetError } from '../errors.ts';
import { SET_LOCK_NAME, vmLockName } from '../names.ts';
import { JsonShapeError, type JsonValue, JsonValue as Value } from '../records/checked-json.ts';

/** Who holds a lock. */
export interface LockOwner {
  host: HostIdentity;
  /** ISO 8601. */
  since: string;
  /** Unlike any other lock's. */
  token: string;
}

export interface LockOptions {
  signal?: AbortSignal;
}

const LOCK_LIMIT = 16 * 1024;
const FORMAT = 'virtnbd-lock';
const TOKEN = /^[0-9a-f]{32}$/;
/** How often a lock that changes under our eyes is looked at anew. */
const MAX_ROUNDS = 50;

/**
 * A lock: a file made with O_EXCL that says which process holds it. (Node has no flock, and flock does not reach across
 * every network file system.)
 *
 * A lock whose process is dead is taken over, by one taker: the right to follow the lock with token T is itself a file
 * made with O_EXCL, `PATH.T`. Whoever made it looks again whether T still stands in the lock. If so, it alone may
 * replace the lock; if not, the takeover has happened already. A taker that dies in between has left a `PATH.T` with a
 * token of its own, which is followed in the same way.
 */
export class FileLock implements AsyncDisposable {
  readonly path: string;
  readonly owner: LockOwner;
  /** Whether a dead process held it before: then what that process left needs `recover`. */
  readonly takenOver: boolean;
  readonly #host: Host;
  #released = false;

  private constructor(host: Host, path: string, owner: LockOwner, takenOver: boolean) {
    this.#host = host;
    this.path = path;
    this.owner = owner;
    this.takenOver = takenOver;
  }

  /**
   * @throws BackupSetError `LOCKED` when a living process, or one of another host, holds it; `LOCK_DAMAGED`
   */
  static async acquire(host: Host, path: string, options: LockOptions = {}): Promise<FileLock> {
    const owner: LockOwner = {
      host: await host.identity(),
      since: new Date().toISOString(),
      token: randomBytes(16).toString('hex'),
    };
    for (let round = 0; round < MAX_ROUNDS; round++) {
      options.signal?.throwIfAborted();
      if (await create(host, path, owner)) return new FileLock(host, path, owner, false);
      const holder = await readLock(host, path);
      if (holder === null) continue;
      if (await follow(host, path, holder, owner)) return new FileLock(host, path, owner, true);
    }
    const text = `The lock ${path} changes hands again and again; try again when the other runs have ended.`;
    throw new BackupSetError('LOCKED', text, { file: path });
  }

  /**
   * Gives the lock back. May be called again.
   *
   * @throws BackupSetError `LOCK_LOST` when it is somebody else's by now, which leaves it as it is
   */
  async release(): Promise<void> {
    if (this.#released) return;
    const holder = await readLock(this.#host, this.path);
    if (holder?.token !== this.owner.token) {
      this.#released = true;
      const text = `The lock ${this.path} was taken away while it was held; look for another run on the same files.`;
      throw new BackupSetError('LOCK_LOST', text, { file: this.path });
    }
    await this.#host.files.remove(this.path);
    this.#released = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }
}

/** The lock of a backup folder. */
export const SetLock = {
  acquire: async (host: Host, folder: string, options?: LockOptions): Promise<FileLock> =>
    await FileLock.acquire(host, join(folder, SET_LOCK_NAME), options),
} as const;

/** The lock of a VM, by its uuid, in a folder that all runs on the same libvirt share. */
export const VmLock = {
  acquire: async (host: Host, folder: string, uuid: string, options?: LockOptions): Promise<FileLock> =>
    await FileLock.acquire(host, join(folder, vmLockName(uuid)), options),
} as const;

/** Takes over the lock of `holder`, who must be dead. False when it has changed hands meanwhile. */
async function follow(host: Host, path: string, holder: LockOwner, owner: LockOwner): Promise<boolean> {
  // The chain of those who took over and died before they were done; usually there is none.
  const chain = [holder];
  let right = '';
  for (let last = holder; ; ) {
    await requireDead(host, path, last);
    right = `${path}.${last.token}`;
    if (await create(host, right, owner)) break;
    const taker = await readLock(host, right);
    if (taker === null || chain.length > MAX_ROUNDS) return false;
    chain.push(taker);
    last = taker;
  }
  try {
    if (!(await stillStands(host, path, chain))) {
      await host.files.remove(right);
      return false;
    }
    await host.files.writeAtomic(path, encodeLock(owner));
  } catch (error) {
    await withdraw(host, path, right, owner);
    throw error;
  }
  await removeRights(host, path);
  return true;
}

/** Makes the file; after a failure it is not left behind, as it would keep others out as long as this process lives. */
async function create(host: Host, path: string, owner: LockOwner): Promise<boolean> {
  try {
    return await host.files.createExclusive(path, encodeLock(owner));
  } catch (error) {
    const holder = await readLock(host, path).catch(() => null);
    if (holder?.token === owner.token) await host.files.remove(path).catch(() => undefined);
    // The name was taken, and free again before the host could look at it: whoever calls looks anew.
    const vanished = error instanceof HostError && error.code === 'NOT_FOUND';
    if (vanished && (await host.files.stat(dirname(path)))?.kind === 'folder') return false;
    throw error;
  }
}

/** Whether the lock and all takeovers after it are those that were seen. */
async function stillStands(host: Host, path: string, chain: readonly LockOwner[]): Promise<boolean> {
  let place = path;
  for (const { token } of chain) {
    if ((await readLock(host, place))?.token !== token) return false;
    place = `${path}.${token}`;
  }
  return true;
}

/** After a failure: what we made must not keep others out as long as this process lives. */
async function withdraw(host: Host, path: string, right: string, owner: LockOwner): Promise<void> {
  const holder = await readLock(host, path).catch(() => null);
  if (holder?.token === owner.token) await host.files.remove(path).catch(() => undefined);
  await host.files.remove(right).catch(() => undefined);
}

/** The lock is ours and we live: every right to follow an earlier lock is void, and its maker will see so. */
async function removeRights(host: Host, path: string): Promise<void> {
  const prefix = `${basename(path)}.`;
  const entries = await host.files.list(dirname(path)).catch(() => []);
  for (const { name } of entries) {
    if (!name.startsWith(prefix) || !TOKEN.test(name.slice(prefix.length))) continue;
    await host.files.remove(join(dirname(path), name)).catch(() => undefined);
  }
}

async function requireDead(host: Host, path: string, holder: LockOwner): Promise<void> {
  const alive = await host.isAlive(holder.host);
  if (alive === false) return;
  const who = `process ${holder.host.pid} on host ${holder.host.hostname} since ${holder.since}`;
  const todo =
    alive === true
      ? 'Wait until it has ended, or end it.'
      : `Whether it still runs cannot be told from here: look there, and remove the file only if it does not.`;
  throw new BackupSetError('LOCKED', `The lock ${path} is held by ${who}. ${todo}`, { file: path });
}

/** null when there is no lock. */
async function readLock(host: Host, path: string): Promise<LockOwner | null> {
  try {
    return decodeLock(await host.files.readSmall(path, LOCK_LIMIT));
  } catch (cause) {
    if (cause instanceof HostError && cause.code === 'NOT_FOUND') return null;
    const unreadable = cause instanceof JsonShapeError || (cause instanceof HostError && cause.code === 'TOO_LARGE');
    if (!unreadable) throw cause;
    const text = `The lock ${path} cannot be read (${cause.message}). If no run is under way on any host, remove it.`;
    throw new BackupSetError('LOCK_DAMAGED', text, { file: path, cause });
  }
}

function encodeLock(owner: LockOwner): Uint8Array {
  return Buffer.from(`${JSON.stringify({ format: FORMAT, version: 1, ...owner }, null, 2)}\n`);
}

function decodeLock(bytes: Uint8Array): LockOwner {
  const fields = Value.parse(bytes).object(['format', 'version', 'host', 'since', 'token']);
  fields.get('format').oneOf([FORMAT]);
  if (fields.get('version').count() !== 1) throw fields.get('version').refuse('1');
  return {
    host: readHostIdentity(fields.get('host')),
    since: fields.get('since').text(64),
    token: fields.get('token').match(TOKEN, '32 hex digits'),
  };
}

/** The identity of a process as it lies in a lock or an intent. */
export function readHostIdentity(value: JsonValue): HostIdentity {
  const fields = value.object(['hostname', 'bootId', 'pid', 'startTime'], ['machine', 'pidNamespace']);
  const machine = fields.optional('machine', (text) => text.text(256));
  const pidNamespace = fields.optional('pidNamespace', (text) => text.text(256));
  return {
    hostname: fields.get('hostname').text(256),
    bootId: fields.get('bootId').text(256),
    pid: fields.get('pid').count(),
    startTime: fields.get('startTime').count(),
    ...(machine === undefined ? {} : { machine }),
    ...(pidNamespace === undefined ? {} : { pidNamespace }),
  };
}
