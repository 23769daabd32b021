import { BlockJobs } from './block-jobs.ts';
import type { CheckpointXmlOptions, CreateCheckpointOptions, DeleteCheckpointOptions } from './calls/checkpoints.ts';
import type { GuestKind, OpenRequest, Versions } from './calls/connect.ts';
import type { CreateDomainOptions, DomainInfo, DomainXmlOptions } from './calls/domains.ts';
import type { GuestInfo } from './calls/guest.ts';
import type { BackupBeginOptions, JobInfo, JobInfoOptions } from './calls/jobs.ts';
import type { Screenshot } from './calls/screen.ts';
import { connectError } from './connect-error.ts';
import { LibvirtError, OwnErrorCode } from './errors.ts';
import { runningBackup, waitForJobEnd } from './job-end.ts';
import type { AbortJobOptions, CheckpointInfo, ConnectionAddress, OpenOptions } from './options.ts';
import { WorkerThread } from './worker-thread.ts';
import { type DomainCapabilities, parseDomainCapabilities } from './xml/capabilities.ts';
import { parseCheckpoint } from './xml/checkpoint.ts';
import { loadParser } from './xml/parse.ts';
import { parseVolume, type VolumeDescription } from './xml/volume.ts';

const OPEN_TIMEOUT = 30_000;
const CLOSE_TIMEOUT = 5_000;

/**
 * A connection to libvirt, on a worker thread of its own. Calls run one after another in the order they were made; a
 * call that blocks (a freeze without an answer from the guest) blocks this connection and no other, so work that must
 * not wait behind it needs a second connection.
 *
 * Every method rejects with a {@link LibvirtError}. Domains are named by uuid.
 */
export class LibvirtConnection implements AsyncDisposable {
  readonly uri: string;
  /** Aborted, with a LibvirtError as its reason, when the connection ends in any way but {@link close}. */
  readonly lost: AbortSignal;
  readonly blockJobs: BlockJobs;
  readonly #thread: WorkerThread;
  readonly #auth: OpenOptions['auth'];
  #closing: Promise<void> | undefined;

  private constructor(address: ConnectionAddress, thread: WorkerThread, lost: AbortSignal) {
    this.uri = address.uri;
    this.#auth = address.auth;
    this.#thread = thread;
    this.blockJobs = new BlockJobs(thread);
    this.lost = lost;
  }

  /**
   * Connects. On abort or when the time is over the attempt is given up; libvirt may go on with it in the background
   * until the process ends, which does not wait for it.
   *
   * @throws LibvirtError LIBRARY_MISSING, CONNECT, TIMEOUT, AUTH_FAILED and the like
   */
  static async open(uri: string, options: OpenOptions = {}): Promise<LibvirtConnection> {
    const { readOnly = false, auth, timeoutMs = OPEN_TIMEOUT, signal } = options;
    signal?.throwIfAborted();
    const lost = new AbortController();
    const thread = new WorkerThread((reason) => lost.abort(reason));
    const giveUp = () => thread.kill(signal?.reason);
    signal?.addEventListener('abort', giveUp, { once: true });
    const timer = timeoutMs > 0 ? setTimeout(() => thread.kill(tooSlow(uri, timeoutMs)), timeoutMs) : undefined;
    try {
      const request: OpenRequest = { uri, readOnly, ...(auth === undefined ? {} : { credentials: auth }) };
      const opening = thread.call('open', request);
      // What libvirt is asked for is XML, and while the thread connects there is nothing else to do.
      loadParser().catch(() => undefined);
      await opening;
      signal?.throwIfAborted();
      return new LibvirtConnection({ uri, ...(auth && { auth }) }, thread, lost.signal);
    } catch (error) {
      thread.kill(error);
      throw signal?.aborted ? signal.reason : connectError(uri, error);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', giveUp);
    }
  }

  /** How to open another connection like this one, in another process for instance; it may hold a password. */
  address(): ConnectionAddress {
    return { uri: this.uri, ...(this.#auth && { auth: this.#auth }) };
  }

  /** Versions as major × 1 000 000 + minor × 1000 + release: of the daemon, the hypervisor and the client library. */
  version(): Promise<Versions> {
    return this.#thread.call('version');
  }

  /** The XML about the host and the guests that it can run. */
  capabilities(): Promise<string> {
    return this.#thread.call('capabilities');
  }

  /**
   * What the hypervisor can do with a guest of this kind.
   *
   * @throws LibvirtError INVALID_ARG when there is no such emulator, or it does not run such guests; BAD_XML
   */
  async domainCapabilities(kind: GuestKind): Promise<DomainCapabilities> {
    const { emulator, arch, machine, type } = kind;
    return await parseDomainCapabilities(
      await this.#thread.call('domainCapabilities', { emulator, arch, machine, type }),
    );
  }

  /** The URI that libvirt itself says: aliases of its configuration are resolved. */
  realUri(): Promise<string> {
    return this.#thread.call('uri');
  }

  /** Whether the connection still stands, as far as this side knows. */
  isAlive(): Promise<boolean> {
    return this.#thread.call('isAlive');
  }

  /** @throws LibvirtError NO_DOMAIN */
  async lookup(nameOrUuid: string): Promise<DomainInfo> {
    try {
      return await this.#thread.call('lookup', nameOrUuid);
    } catch (error) {
      throw error instanceof LibvirtError && error.code === 'NO_DOMAIN' ? noDomain(nameOrUuid, this.uri, error) : error;
    }
  }

  /** Every domain, running or not. */
  domainList(): Promise<DomainInfo[]> {
    return this.#thread.call('domainList');
  }

  /** Size of the guest's disk with this target (`vda`), bytes. */
  diskSize(uuid: string, disk: string): Promise<number> {
    return this.#thread.call('diskSize', uuid, disk);
  }

  domainXml(uuid: string, options: DomainXmlOptions = {}): Promise<string> {
    return this.#thread.call('domainXml', uuid, options);
  }

  /** Starts a domain without defining it: it is gone when it ends. @throws LibvirtError DOM_EXIST, XML_ERROR … */
  createDomain(xml: string, options: CreateDomainOptions = {}): Promise<DomainInfo> {
    return this.#thread.call('createDomain', xml, options);
  }

  /** Defines a domain; one that runs under the same name and uuid goes on, and stays when it ends. */
  defineDomain(xml: string): Promise<DomainInfo> {
    return this.#thread.call('defineDomain', xml);
  }

  /** What the domain's first screen shows. */
  screenshot(uuid: string): Promise<Screenshot> {
    return this.#thread.call('screenshot', uuid);
  }

  /** Whether the domain starts with its host. */
  async setAutostart(uuid: string, on: boolean): Promise<void> {
    await this.#thread.call('setAutostart', uuid, on);
  }

  /**
   * Has the storage pool whose folder is `path` look at its files again, so that new ones are volumes of it.
   *
   * @returns the pool's name; null when no active pool has that folder
   */
  async refreshPoolAt(path: string): Promise<string | null> {
    try {
      return await this.#thread.call('refreshPoolAt', path);
    } catch (error) {
      const none = error instanceof LibvirtError && ['NO_STORAGE_POOL', 'NO_SUPPORT'].includes(error.code);
      if (none) return null; // NO_SUPPORT: a libvirt without pools, or older than the question
      throw error;
    }
  }

  /** Whether the domain starts with its host; a transient one never does. */
  autostart(uuid: string): Promise<boolean> {
    return this.#thread.call('autostart', uuid);
  }

  /** Pauses the domain's processors. */
  async suspend(uuid: string): Promise<void> {
    await this.#thread.call('suspend', uuid);
  }

  async resume(uuid: string): Promise<void> {
    await this.#thread.call('resume', uuid);
  }

  /** Starts a domain that is off. */
  async start(uuid: string, options: { readonly paused?: boolean } = {}): Promise<void> {
    await this.#thread.call('start', uuid, options);
  }

  /** Asks the guest to shut down; returns at once. */
  async shutdown(uuid: string): Promise<void> {
    await this.#thread.call('shutdown', uuid);
  }

  /** Ends the domain's process, like pulling the plug. */
  async destroy(uuid: string): Promise<void> {
    await this.#thread.call('destroy', uuid);
  }

  /**
   * Starts a backup job, and creates a checkpoint at the same moment if one is given. The job runs until
   * {@link abortJob} or the domain's end. While the domain has another job the call waits for its end, as libvirt
   * does, for 30 seconds: ask {@link jobInfo} first.
   *
   * @throws LibvirtError OPERATION_UNSUPPORTED when the domain is off; OPERATION_TIMEOUT when another job went on;
   *   CHECKPOINT_INCONSISTENT when a bitmap of the chain is missing; NO_DOMAIN_CHECKPOINT when `incremental` names none
   */
  async backupBegin(uuid: string, backupXml: string, options: BackupBeginOptions = {}): Promise<void> {
    await this.#thread.call('backupBegin', uuid, backupXml, options);
  }

  /** The running backup job's XML. @throws LibvirtError NO_DOMAIN_BACKUP */
  backupXml(uuid: string): Promise<string> {
    return this.#thread.call('backupXml', uuid);
  }

  /** @throws LibvirtError OPERATION_INVALID when the domain is off */
  jobInfo(uuid: string, options: JobInfoOptions = {}): Promise<JobInfo> {
    return this.#thread.call('jobInfo', uuid, options);
  }

  /**
   * Ends the running job; a pull backup ends this way. Resolves when a backup job has ended: its socket and scratch
   * files are free then.
   *
   * @throws LibvirtError OPERATION_INVALID when there is no job; TIMEOUT when it does not end
   */
  async abortJob(uuid: string, options: AbortJobOptions = {}): Promise<void> {
    const job = await runningBackup(this, uuid);
    await this.#thread.call('abortJob', uuid);
    if (job !== null) await waitForJobEnd(this, uuid, job, options);
  }

  /** All checkpoints of the domain, parents before children. */
  async checkpoints(uuid: string): Promise<CheckpointInfo[]> {
    const texts = await this.#thread.call('checkpointXmls', uuid);
    return Promise.all(
      texts.map(async (xml) => {
        const { name, parent, creationTime } = await parseCheckpoint(xml);
        return { name, parent, creationTime, xml };
      }),
    );
  }

  /** @throws LibvirtError NO_DOMAIN_CHECKPOINT */
  checkpointXml(uuid: string, name: string, options: CheckpointXmlOptions = {}): Promise<string> {
    return this.#thread.call('checkpointXml', uuid, name, options);
  }

  /** @throws LibvirtError CHECKPOINT_INCONSISTENT when `redefineValidate` finds a bitmap missing or broken */
  async createCheckpoint(uuid: string, xml: string, options: CreateCheckpointOptions = {}): Promise<void> {
    await this.#thread.call('createCheckpoint', uuid, xml, options);
  }

  /**
   * Deletes a checkpoint; its bitmaps are merged into its parent's.
   *
   * @throws LibvirtError NO_DOMAIN_CHECKPOINT; OPERATION_UNSUPPORTED when the domain is off, unless `metadataOnly` is set
   */
  async deleteCheckpoint(uuid: string, name: string, options: DeleteCheckpointOptions = {}): Promise<void> {
    await this.#thread.call('deleteCheckpoint', uuid, name, options);
  }

  /**
   * Freezes the guest's file systems through its agent, all or those mounted at `mountpoints`.
   *
   * @returns how many were frozen
   * @throws LibvirtError AGENT_UNRESPONSIVE, OPERATION_INVALID; ARGUMENT_UNSUPPORTED when no agent is configured
   */
  freeze(uuid: string, mountpoints: readonly string[] = []): Promise<number> {
    return this.#thread.call('freeze', uuid, mountpoints);
  }

  /** Thaws what is frozen. @returns how many were thawed */
  thaw(uuid: string): Promise<number> {
    return this.#thread.call('thaw', uuid);
  }

  /**
   * Milliseconds since 1970 by the guest's clock, which its agent tells: an answer means that the guest is up.
   *
   * @throws LibvirtError AGENT_UNRESPONSIVE; ARGUMENT_UNSUPPORTED when no agent is configured
   */
  guestTime(uuid: string): Promise<number> {
    return this.#thread.call('guestTime', uuid);
  }

  /**
   * How long the daemon waits for the domain's guest agent, in seconds; −2 for ever (libvirt's own setting), −1 for
   * its default of 5, 0 for no wait. Holds for every client of the daemon, until the domain stops.
   */
  async setAgentTimeout(uuid: string, seconds: number): Promise<void> {
    await this.#thread.call('setAgentTimeout', uuid, seconds);
  }

  /**
   * What the guest's agent tells of its system, users, file systems and interfaces; what it cannot tell is left out.
   *
   * @throws LibvirtError AGENT_UNRESPONSIVE, OPERATION_INVALID; ARGUMENT_UNSUPPORTED when no agent is configured
   */
  guestInfo(uuid: string): Promise<GuestInfo> {
    return this.#thread.call('guestInfo', uuid);
  }

  /**
   * Makes a call of the guest agent's own protocol. libvirt then marks the domain as one that it does not know all of
   * (`tainted: custom-ga-command` in its log).
   *
   * @param command JSON, `{"execute": …}`
   * @param seconds how long to wait for the answer
   * @returns the answer's JSON, `{"return": …}`
   * @throws LibvirtError AGENT_UNRESPONSIVE, AGENT_COMMAND_TIMEOUT; INTERNAL_ERROR when the agent refuses the command
   */
  agentCommand(uuid: string, command: string, seconds: number): Promise<string> {
    return this.#thread.call('agentCommand', uuid, command, seconds);
  }

  /**
   * A volume of a storage pool, by their names.
   *
   * @throws LibvirtError NO_STORAGE_POOL, NO_STORAGE_VOL; OPERATION_INVALID when the pool is not active
   */
  async volume(pool: string, volume: string): Promise<VolumeDescription> {
    return await parseVolume(await this.#thread.call('volumeXml', pool, volume));
  }

  /**
   * Bytes of a storage volume, by the path of its file or device on the host, as they stand there: an image's format is
   * not looked into. A volume of another kind than file or device cannot be read.
   *
   * @param length bytes, at most; they are in memory at once
   * @returns fewer than `length` only where the volume ends
   * @throws LibvirtError NO_STORAGE_VOL when no active pool knows a volume of that path; NO_SUPPORT
   */
  readVolume(path: string, offset: number, length: number): Promise<Uint8Array> {
    return this.#thread.call('readVolume', path, offset, length);
  }

  /**
   * Closes the connection, after the calls already made, and ends its thread. If they take longer than `timeoutMs`
   * (default 5000), they are given up: see {@link abandon}. Never rejects; a second call waits for the first.
   */
  close(options: { readonly timeoutMs?: number } = {}): Promise<void> {
    this.#closing ??= this.#close(options.timeoutMs ?? CLOSE_TIMEOUT);
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /**
   * Gives the connection up at once, without waiting for a call that hangs: pending calls reject with `reason`. What
   * such a call does in the daemon goes on. The thread ends when the call returns; the process does not wait for it.
   */
  abandon(reason: unknown = new LibvirtError(OwnErrorCode.closed, 'The connection was given up.')): void {
    this.#thread.kill(reason);
  }

  async #close(timeoutMs: number): Promise<void> {
    const late = new LibvirtError(OwnErrorCode.closed, `A call did not end within ${timeoutMs} ms of closing.`);
    const gaveUp = Promise.withResolvers<void>();
    const timer = setTimeout(() => {
      this.#thread.kill(late);
      gaveUp.resolve();
    }, timeoutMs);
    try {
      await Promise.race([this.#thread.close(), gaveUp.promise]);
    } catch {
      // The connection was gone already: closed is what it should be.
    } finally {
      clearTimeout(timer);
    }
  }
}

function noDomain(nameOrUuid: string, uri: string, cause: LibvirtError): LibvirtError {
  const { libvirtCode, libvirtDomain, call } = cause;
  return new LibvirtError(
    cause.code,
    `There is no domain '${nameOrUuid}' at ${uri}. List what there is with: virsh -c '${uri}' list --all`,
    { libvirtCode, libvirtDomain, call, cause },
  );
}

function tooSlow(uri: string, timeoutMs: number): LibvirtError {
  return new LibvirtError(
    OwnErrorCode.timeout,
    `No connection to libvirt at ${uri} within ${timeoutMs} ms. Is the daemon busy or the host unreachable? ` +
      `Check with: virsh -c '${uri}' version`,
  );
}
