import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { TestKitError } from '../errors.ts';
import { daemonIdentity, type Identity } from '../identity.ts';
import { isRunning, type RunOptions, run, signalIfRunning } from '../programs.ts';
import { type TempFolder, tempFolder } from '../temp-folder.ts';
import { waitFor } from '../wait-for.ts';
import { Daemon, startWatchdog } from './daemon.ts';
import type { DaemonOptions } from './daemon-options.ts';
import { disksOf, identityOf } from './live-disks.ts';
import { TestVm } from './test-vm.ts';
import { VirshSession } from './virsh-session.ts';
import { prepareVm, type VmSpec } from './vm-spec.ts';

/**
 * A libvirt of a test's own: session mode, own folders, own uid when the test runs as root. It shares nothing with the
 * machine's libvirt. `stop()` ends every VM and process and removes the folder; a watchdog does so if the test dies.
 */
export class TestLibvirt implements AsyncDisposable {
  /** `qemu:///session?socket=…`; usable by root and by the user that the daemon runs as. */
  readonly uri: string;
  /** Everything of this instance lies below it. Tests may use `work` in it, which libvirt and qemu can write. */
  readonly folder: string;
  readonly workFolder: string;
  readonly identity: Identity;
  readonly session: VirshSession;
  private readonly home: TempFolder;
  private readonly daemon: Daemon;
  private readonly endWatchdog: () => Promise<void>;
  private readonly machines: TestVm[] = [];
  private readonly qemuPids = new Set<number>();
  private created = 0;
  private stopped: Promise<void> | null = null;

  private constructor(home: TempFolder, daemon: Daemon, endWatchdog: () => Promise<void>) {
    this.home = home;
    this.daemon = daemon;
    this.endWatchdog = endWatchdog;
    this.uri = daemon.uri;
    this.folder = home.path;
    this.workFolder = join(home.path, 'work');
    this.identity = daemonIdentity();
    this.session = new VirshSession(daemon.uri, daemon.environment);
  }

  static async start(options: DaemonOptions = {}): Promise<TestLibvirt> {
    const home = await tempFolder();
    const endWatchdog = await startWatchdog(home.path);
    const daemon = new Daemon(home.path, options);
    const libvirt = new TestLibvirt(home, daemon, endWatchdog);
    try {
      await daemon.prepare();
      await daemon.start();
      await libvirt.session.run([['uri']]); // the connection that keeps the daemon from its idle end
      return libvirt;
    } catch (error) {
      await libvirt.stop().catch(() => {});
      throw error;
    }
  }

  get vms(): readonly TestVm[] {
    return this.machines;
  }

  /** Makes the disks, defines the VM and starts it: paused, unless it has a guest or `paused` or `start` say otherwise. */
  async createVm(spec: VmSpec): Promise<TestVm> {
    const number = ++this.created;
    const { xml, disks, name } = await prepareVm(this.folder, number, spec);
    const xmlFile = join(this.folder, 'images', `${number}.xml`);
    await writeFile(xmlFile, xml);
    await this.virsh('define', xmlFile);
    const { uuid } = identityOf(await this.virsh('dumpxml', '--domain', name));
    const vm = new TestVm(this, { name, uuid, disks, folder: join(this.folder, 'images'), guest: spec.guest === true });
    this.machines.push(vm);
    const paused = spec.paused ?? spec.guest !== true;
    if (spec.start !== false) await vm.start({ paused });
    return vm;
  }

  /** A VM that something else defined here, such as a restore. `guest`: it boots the small guest. */
  async findVm(nameOrUuid: string, options: { guest?: boolean } = {}): Promise<TestVm> {
    const xml = await this.virsh('dumpxml', '--domain', nameOrUuid);
    const { name, uuid } = identityOf(xml);
    const known = this.machines.find((vm) => vm.uuid === uuid);
    if (known !== undefined) return known;
    const disks = [...disksOf(xml).values()].flatMap(({ path, ...disk }) => (path === null ? [] : [{ ...disk, path }]));
    const folder = join(this.folder, 'images');
    const vm = new TestVm(this, { name, uuid, disks, folder, guest: options.guest === true });
    this.machines.push(vm);
    return vm;
  }

  /** Runs `virsh -c uri …` with an argument array and gives what it printed. */
  async virsh(...args: readonly string[]): Promise<string> {
    return (await this.run('virsh', ['-c', this.uri, ...args])).stdout;
  }

  /** Runs a program with this instance's HOME and XDG folders, so that it touches nothing of the user's own. */
  run(program: string, args: readonly string[], options: RunOptions = {}): Promise<{ stdout: string; stderr: string }> {
    return run(program, args, { ...options, env: { ...this.daemon.environment, ...options.env } });
  }

  /** The pids of the qemu processes that run now. */
  async runningQemu(): Promise<number[]> {
    for (const pid of await this.daemon.qemuPids()) this.qemuPids.add(pid);
    return [...this.qemuPids].filter((pid) => isRunning(pid));
  }

  /** Ends the daemon (the VMs go on) and starts it again; for tests of a daemon that restarts. */
  async restartDaemon(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    await this.runningQemu();
    await this.session.close(); // else its next command says that it has reconnected, as an error
    await this.daemon.end(signal);
    await this.daemon.start();
    await this.session.run([['uri']]);
  }

  stop(): Promise<void> {
    this.stopped ??= this.stopNow();
    return this.stopped;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  private async stopNow(): Promise<void> {
    try {
      // Not by `virsh destroy`: that may wait for a job, and libvirt waits for init to collect the process.
      for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
        for (const pid of await this.runningQemu()) signalIfRunning(pid, signal);
        const ended = async (): Promise<boolean> => (await this.runningQemu()).length === 0;
        if (await waitFor(ended, { timeoutMs: 5000 }).catch(() => false)) break;
      }
      await this.session.close();
      await this.daemon.end('SIGKILL');
      const left = await this.runningQemu();
      if (left.length > 0) throw new TestKitError('LEFTOVER', `qemu does not end: ${left.join(', ')}`);
    } finally {
      // The watchdog ends whatever is left and removes the folder.
      await this.endWatchdog();
      await rm(this.folder, { recursive: true, force: true });
      await this.home.remove();
    }
  }
}
