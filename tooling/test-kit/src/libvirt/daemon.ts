import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { chmod, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TestKitError } from '../errors.ts';
import { daemonIdentity, giveToDaemon } from '../identity.ts';
import { findProgram, run, searchPath, signalIfRunning } from '../programs.ts';
import { waitFor } from '../wait-for.ts';
import { loadCapabilities, saveCapabilities } from './capabilities-cache.ts';
import { type DaemonOptions, prepareOptions } from './daemon-options.ts';

/** The daemon ends itself when it has had no VM and no client for this long. */
const IDLE_SECONDS = 60;

export const LIBVIRT_PACKAGES = 'libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients qemu-system-x86 qemu-utils';

/**
 * A session-mode libvirtd with every folder of its own below `folder`:
 * h HOME · r XDG_RUNTIME_DIR · c config · k cache · d data · t TMPDIR · pids: what the watchdog ends
 */
export class Daemon {
  readonly folder: string;
  readonly socket: string;
  private readonly options: DaemonOptions;
  private extra: { args: string[]; environment: Record<string, string> } = { args: [], environment: {} };
  private pid = 0;
  private ended: Promise<void> = Promise.resolve();

  constructor(folder: string, options: DaemonOptions = {}) {
    this.folder = folder;
    this.options = options;
    this.socket = join(folder, 'r/libvirt/libvirt-sock');
  }

  get uri(): string {
    return `qemu:///session?socket=${this.socket}`;
  }

  get environment(): Record<string, string> {
    const at = (name: string): string => join(this.folder, name);
    return {
      PATH: searchPath,
      LC_ALL: 'C.UTF-8',
      HOME: at('h'),
      XDG_RUNTIME_DIR: at('r'),
      XDG_CONFIG_HOME: at('c'),
      XDG_CACHE_HOME: at('k'),
      XDG_DATA_HOME: at('d'),
      TMPDIR: at('t'),
      VIRTNBD_TEST_KIT: this.folder,
    };
  }

  async prepare(): Promise<void> {
    for (const name of ['h', 'r', 'c', 'c/libvirt', 'k', 'd', 't', 'pids', 'images', 'work']) {
      const path = join(this.folder, name);
      await mkdir(path);
      await chmod(path, name === 'r' ? 0o700 : 0o755);
      await giveToDaemon(path);
    }
    const qemuConf = join(this.folder, 'c/libvirt/qemu.conf');
    const { backupCertificates } = this.options;
    const tls = backupCertificates === undefined ? [] : [`backup_tls_x509_cert_dir = "${backupCertificates}"`];
    const lines = ['stdio_handler = "file"', 'security_driver = "none"', ...tls, ''];
    await writeFile(qemuConf, lines.join('\n'), { mode: 0o644 });
    await giveToDaemon(qemuConf);
    this.extra = await prepareOptions(this.folder, this.options);
    await loadCapabilities(join(this.folder, 'k'));
  }

  async start(): Promise<void> {
    const libvirtd = findProgram('libvirtd');
    if (libvirtd === null || findProgram('virsh') === null) {
      throw new TestKitError(
        'PROGRAM_MISSING',
        `Tests need ${libvirtd === null ? 'libvirtd' : 'virsh'}: apt-get install --no-install-recommends ${LIBVIRT_PACKAGES}`,
      );
    }
    const { uid, gid, dropped } = daemonIdentity();
    const command = [libvirtd, '--timeout', String(IDLE_SECONDS), ...this.extra.args];
    const drop = ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, '--clear-groups', '--inh-caps=-all'];
    const { within = [] } = this.options;
    const [program = libvirtd, ...args] = [...within, ...(dropped ? drop : []), ...command];
    const log = openSync(join(this.folder, 'libvirtd.log'), 'a', 0o644);
    const child = spawn(program, args, {
      stdio: ['ignore', log, log],
      env: { ...this.environment, ...this.extra.environment },
      cwd: this.folder,
      detached: true,
    });
    closeSync(log);
    this.ended = new Promise((resolve) => {
      child.once('exit', () => resolve());
      child.once('error', () => resolve());
    });
    child.unref();
    if (child.pid === undefined) throw new TestKitError('DAEMON', `${program} cannot be started`);
    this.pid = child.pid;
    await writeFile(join(this.folder, 'pids/libvirtd'), `${this.pid}\n`);
    await this.untilReady(child);
    await saveCapabilities(join(this.folder, 'k'));
  }

  /** SIGTERM leaves the VMs running; so does SIGKILL. `start()` afterwards finds them again. */
  async end(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    if (this.pid === 0) return;
    const pid = this.pid;
    signalIfRunning(pid, signal);
    const late = setTimeout(() => signalIfRunning(pid, 'SIGKILL'), 10_000);
    await this.ended;
    clearTimeout(late);
    this.pid = 0;
  }

  /** The pids of this daemon's qemu processes, from libvirt's own pid files. */
  async qemuPids(): Promise<number[]> {
    const folder = join(this.folder, 'r/libvirt/qemu/run');
    const names = await readdir(folder).catch(() => []);
    const pids: number[] = [];
    for (const name of names) {
      if (!name.endsWith('.pid') || name === 'driver.pid') continue;
      const pid = Number((await readFile(join(folder, name), 'utf8').catch(() => '')).trim());
      if (Number.isInteger(pid) && pid > 1) pids.push(pid);
    }
    return pids;
  }

  private async untilReady(child: ChildProcess): Promise<void> {
    let reason = 'no socket';
    const ready = waitFor(
      async () => {
        if (child.exitCode !== null || child.signalCode !== null) {
          const log = await readFile(join(this.folder, 'libvirtd.log'), 'utf8').catch(() => '');
          throw new TestKitError('DAEMON', `libvirtd ended at once (${child.exitCode ?? child.signalCode}): ${log}`);
        }
        if ((await stat(this.socket).catch(() => null)) === null) return false;
        return run('virsh', ['-c', this.uri, 'version'], { env: this.environment }).then(
          () => true,
          (error: Error) => {
            reason = error.message;
            // Without the driver's package the daemon runs and refuses every connection.
            if (/no connection driver/.test(reason)) throw notReady(reason);
            return false;
          },
        );
      },
      { what: 'An answer of libvirtd', timeoutMs: 30_000 },
    );
    await ready.catch((error: unknown) => {
      throw error instanceof TestKitError && error.code === 'TIMEOUT' ? notReady(reason) : error;
    });
  }
}

function notReady(reason: string): TestKitError {
  return new TestKitError(
    'DAEMON',
    `libvirtd does not serve QEMU (${reason}); needed: apt-get install --no-install-recommends ${LIBVIRT_PACKAGES}`,
  );
}

/** A small shell process that ends everything below `folder` when this process has gone. Returns what waits for its end. */
export async function startWatchdog(folder: string): Promise<() => Promise<void>> {
  const script = fileURLToPath(new URL('./watchdog.sh', import.meta.url));
  const child = spawn('/bin/sh', [script, folder], { stdio: ['pipe', 'ignore', 'ignore'], detached: true, cwd: '/' });
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
  });
  child.unref();
  child.stdin.on('error', () => {});
  (child.stdin as unknown as { unref(): void }).unref();
  return async () => {
    child.ref();
    child.stdin.end();
    await ended;
  };
}
