import { type ChildProcess, spawn } from 'node:child_process';
import { lstat, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { HostError } from '../errors.ts';
import type { RunningProgram } from '../host.ts';
import { runProgram, startProgram } from '../programs.ts';
import { waitForSocket } from '../wait-for-socket.ts';
import { shellCommand } from './shell-command.ts';
import { connectFailure, linkLost } from './ssh-failure.ts';
import { requireHostName, type SshTarget, sshOptions } from './ssh-target.ts';

/** A control socket's path is short: ssh adds 17 characters to it for a moment, and 107 is all that fits. */
const LONGEST_FOLDER = 80;
const CONNECT_MS = 60_000;
/** Beginning of the names of private folders; the process id follows. */
const FOLDER = 'virtnbd-ssh.';
const SWEPT_AFTER_MS = 3_600_000;
/** Milliseconds in which ssh has noticed that the other side has ended the connection. */
const NOTICED_MS = 2_000;

/**
 * One ssh connection, made by the ssh program as the user has set it up (configuration, agent, jump hosts, known_hosts),
 * over which commands, file transfer and forwarded sockets go (ControlMaster). It ends with this process, also when that is
 * killed by SIGKILL.
 */
export class SshConnection implements AsyncDisposable {
  readonly target: SshTarget;
  /** Aborted, with a HostError LINK_LOST, when the connection ends in any other way than by `close`. */
  readonly lost: AbortSignal;
  readonly #folder: string;
  readonly #master: RunningProgram;
  #sockets = 0;
  #closing: Promise<void> | undefined;

  private constructor(target: SshTarget, folder: string, master: RunningProgram) {
    this.target = target;
    this.#folder = folder;
    this.#master = master;
    const lost = new AbortController();
    this.lost = lost.signal;
    void master.exited.then(() => {
      if (this.#closing === undefined) lost.abort(linkLost(target, master.stderr()));
    });
  }

  /** @throws HostError HOST_KEY, LOGIN, UNREACHABLE: each says which command helps; PROGRAM_MISSING */
  static async open(target: SshTarget, options: { signal?: AbortSignal | undefined } = {}): Promise<SshConnection> {
    const { signal } = options;
    requireHostName(target.host);
    const parent = Buffer.byteLength(tmpdir()) > LONGEST_FOLDER - 20 ? '/tmp' : tmpdir();
    await sweep(parent);
    const folder = await mkdtemp(join(parent, `${FOLDER}${process.pid}.`));
    try {
      const control = join(folder, 'c');
      const args = [...sshOptions(target), '-o', 'ControlMaster=yes', '-S', control, '-N', '--', target.host];
      const master = await startProgram('ssh', args, { signal });
      try {
        await waitForSocket(control, { program: master, signal, timeoutMs: CONNECT_MS });
      } catch (error) {
        await master.stop();
        signal?.throwIfAborted();
        throw error instanceof HostError ? connectFailure(target, master.stderr(), error) : error;
      }
      return new SshConnection(target, folder, master);
    } catch (error) {
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  }

  /**
   * Why the connection is gone, when what went over it has just failed: ssh itself may take a moment to notice. undefined
   * when it stands.
   */
  async whyLost(): Promise<unknown> {
    await Promise.race([this.#master.exited, sleep(NOTICED_MS, undefined, { ref: false })]);
    return this.lost.aborted ? this.lost.reason : undefined;
  }

  /** Starts a command there, by words; its input and output are pipes. */
  command(words: readonly string[]): ChildProcess {
    return this.#spawn([...this.#clientArgs(), shellCommand(words)]);
  }

  /** Starts a subsystem of the server there, `sftp`. */
  subsystem(name: string): ChildProcess {
    return this.#spawn([...this.#options(), '-s', '--', this.target.host, name]);
  }

  /**
   * A unix socket on this machine, in a private folder, that leads to the one at `path` on the other. It is opened there
   * at each connection.
   */
  async forward(path: string): Promise<{ path: string; close(): Promise<void> }> {
    const local = join(this.#folder, `s${this.#sockets++}`);
    const control = async (what: string): Promise<void> => {
      const args = [
        ...this.#options(),
        '-O',
        what,
        '-L',
        `${forwardPart(local)}:${forwardPart(path)}`,
        '--',
        this.target.host,
      ];
      await runProgram('ssh', args).catch((error: unknown) => {
        throw this.lost.aborted ? this.lost.reason : error;
      });
    };
    await control('forward');
    return {
      path: local,
      close: async () => {
        await control('cancel').catch(() => undefined);
        await rm(local, { force: true });
      },
    };
  }

  /**
   * A program for libvirt to call in ssh's place (`?command=` in its URI): its connection goes over this one, or, when this
   * one is gone, over one of its own by the same rules. So what a run has begun there can still be undone, by it or by
   * whoever outlives it.
   */
  async proxyCommand(): Promise<string> {
    const path = join(this.#folder, 'ssh');
    const options = shellCommand(['ssh', '-o', 'ControlMaster=no', '-S', this.#control, ...sshOptions(this.target)]);
    await writeFile(path, `#!/bin/sh\nexec ${options} "$@"\n`, { mode: 0o700 });
    return path;
  }

  /** Ends the connection and all that goes over it. May be called again. */
  close(): Promise<void> {
    this.#closing ??= (async () => {
      await this.#master.stop();
      await rm(this.#folder, { recursive: true, force: true });
    })();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #clientArgs(): string[] {
    return [...this.#options(), '--', this.target.host];
  }

  get #control(): string {
    return join(this.#folder, 'c');
  }

  /** Over the connection that stands, or not at all: without it ssh would quietly make another one. */
  #options(): string[] {
    const control = ['-o', 'ControlMaster=no', '-o', 'ProxyCommand=false', '-S', this.#control];
    return [...control, ...sshOptions(this.target)];
  }

  #spawn(args: readonly string[]): ChildProcess {
    // A process group of its own: Ctrl-C on the terminal reaches us alone.
    return spawn('ssh', args, { stdio: ['pipe', 'pipe', 'pipe'], detached: true });
  }
}

/**
 * Removes folders of processes that were killed. Not at once: who outlives such a process, to thaw a guest, still uses its
 * `proxyCommand`.
 */
async function sweep(parent: string): Promise<void> {
  for (const name of await readdir(parent).catch(() => [])) {
    const pid = name.startsWith(FOLDER) ? Number(name.slice(FOLDER.length).split('.')[0]) : Number.NaN;
    if (!Number.isSafeInteger(pid)) continue;
    const path = join(parent, name);
    const [stats, alive] = await Promise.all([lstat(path).catch(() => null), lstat(`/proc/${pid}`).catch(() => null)]);
    const ours = stats?.isDirectory() === true && stats.uid === process.getuid?.();
    if (!ours || alive !== null || Date.now() - stats.mtimeMs < SWEPT_AFTER_MS) continue;
    await rm(path, { recursive: true, force: true }).catch(() => undefined);
  }
}

/** In `-L` a colon separates the two sockets, and ssh knows no way to write one within them. */
function forwardPart(path: string): string {
  if (path.startsWith('/') && !/[:\\\0]/.test(path)) return path;
  throw new HostError('BAD_NAME', `ssh cannot forward the socket ${path}: its path must be absolute, without a colon`, {
    path,
  });
}
