import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { TestKitError } from '../errors.ts';
import { commandLine, signalIfRunning } from '../programs.ts';
import { referenceOfImage } from '../reference.ts';
import { waitFor } from '../wait-for.ts';
import { type Bitmap, type BlockDevice, bitmapsOfImage, bitmapsOfNodes } from './bitmaps.ts';
import { type DiskOperation, DiskWriter } from './disk-writer.ts';
import { GuestAgent, type GuestResult } from './guest-agent.ts';
import { disksOf, type LiveDisk } from './live-disks.ts';
import type { TestLibvirt } from './test-libvirt.ts';
import { type DiskSpec, diskXmlOf, prepareDisk, type VmDisk } from './vm-spec.ts';

export type VmState = 'running' | 'paused' | 'shutoff' | 'other';

/** A throw-away VM. Its disks are changed through `write`, `zero` and `discard`, which its dirty bitmaps see. */
export class TestVm {
  readonly name: string;
  readonly uuid: string;
  readonly agent: GuestAgent;
  private readonly libvirt: TestLibvirt;
  private readonly writer: DiskWriter;
  readonly hasGuest: boolean;
  private diskList: VmDisk[];
  private live: Map<string, LiveDisk> | null = null;

  constructor(
    libvirt: TestLibvirt,
    vm: { name: string; uuid: string; disks: readonly VmDisk[]; folder: string; guest: boolean },
  ) {
    this.libvirt = libvirt;
    this.name = vm.name;
    this.uuid = vm.uuid;
    this.hasGuest = vm.guest;
    this.diskList = [...vm.disks];
    const logFile = join(libvirt.folder, 'k/libvirt/qemu/log', `${vm.name}.log`);
    this.writer = new DiskWriter(libvirt.session, { uuid: vm.uuid, logFile, folder: vm.folder });
    this.agent = new GuestAgent(libvirt, vm.uuid);
  }

  get disks(): readonly VmDisk[] {
    return this.diskList;
  }

  /** `virsh COMMAND UUID ARGS…` */
  virsh(command: string, ...args: readonly string[]): Promise<string> {
    return this.libvirt.virsh(command, this.uuid, ...args);
  }

  async xml(options: { inactive?: boolean } = {}): Promise<string> {
    return this.virsh('dumpxml', ...(options.inactive === true ? ['--inactive'] : []));
  }

  async state(): Promise<VmState> {
    const text = (await this.virsh('domstate')).trim();
    if (text === 'running' || text === 'paused') return text;
    return text === 'shut off' ? 'shutoff' : 'other';
  }

  async start(options: { paused?: boolean } = {}): Promise<void> {
    this.live = null;
    await this.virsh('start', ...((options.paused ?? !this.hasGuest) ? ['--paused'] : []));
  }

  suspend(): Promise<string> {
    return this.virsh('suspend');
  }

  resume(): Promise<string> {
    return this.virsh('resume');
  }

  /** Ends qemu in good order (it stores its bitmaps): with a guest through the agent, else by SIGTERM. */
  async shutdown(): Promise<void> {
    if (!this.hasGuest) return this.destroy();
    await this.virsh('shutdown', '--mode', 'agent');
    await waitFor(async () => (await this.state()) === 'shutoff', { what: `Shutdown of ${this.name}` });
    this.live = null;
  }

  /** `virsh destroy`: SIGTERM first, so that bitmaps are stored; no error when it is off already. */
  async destroy(): Promise<void> {
    this.live = null;
    if ((await this.state()) !== 'shutoff') await this.virsh('destroy');
  }

  /** SIGKILL to qemu, as in a crash of the host: bitmaps stay marked as in use. */
  async crash(): Promise<void> {
    signalIfRunning(await this.pid(), 'SIGKILL');
    this.live = null;
    await waitFor(async () => (await this.state()) === 'shutoff', { what: `The crash of ${this.name}` });
  }

  async undefine(): Promise<void> {
    await this.virsh('undefine', '--checkpoints-metadata', '--snapshots-metadata', '--nvram');
  }

  /** The pid of this VM's qemu. @throws TestKitError `USAGE` when it does not run: a signal to 0 would be one to our own group */
  async pid(): Promise<number> {
    const found = (await this.libvirt.runningQemu()).find((pid) => commandLine(pid).includes(this.uuid));
    if (found === undefined) throw new TestKitError('USAGE', `${this.name} does not run`);
    return found;
  }

  /** Writes `length` bytes of the value `pattern` (0 … 255). */
  write(target: string, offset: number, length: number, pattern: number | Uint8Array): Promise<void> {
    if (typeof pattern !== 'number') return this.writeBuffer(target, offset, pattern.subarray(0, length));
    return this.apply([{ kind: 'write', target, offset, length, pattern }]);
  }

  writeBuffer(target: string, offset: number, bytes: Uint8Array): Promise<void> {
    return this.apply([{ kind: 'buffer', target, offset, bytes }]);
  }

  /** Writes zeroes; with `unmap` the image may free the clusters. */
  zero(target: string, offset: number, length: number, options: { unmap?: boolean } = {}): Promise<void> {
    return this.apply([{ kind: 'zero', target, offset, length, unmap: options.unmap === true }]);
  }

  discard(target: string, offset: number, length: number): Promise<void> {
    return this.apply([{ kind: 'discard', target, offset, length }]);
  }

  /** Many changes at once, in order: about 3 ms each. DISK_WRITE when qemu did not do every one. */
  async apply(operations: readonly DiskOperation[]): Promise<void> {
    await this.writer.apply(operations, await this.liveDisks());
  }

  async flush(): Promise<void> {
    await this.writer.flush(await this.liveDisks());
  }

  /** The image behind a disk now: another one than `disks` says after an external snapshot. */
  async imagePath(target: string): Promise<{ path: string; format: string }> {
    const found = disksOf(await this.xml()).get(target);
    if (found === undefined) throw new TestKitError('USAGE', `${this.name} has no disk ${target}`);
    const path = found.path ?? this.diskList.find((disk) => disk.target === target)?.path;
    if (path === undefined) throw new TestKitError('USAGE', `Where the image of ${target} is was not told`);
    return { path, format: found.format };
  }

  /**
   * Writes what the disk holds now to a raw file. A VM that runs is paused meanwhile. qemu keeps qcow2 tables in memory: they
   * are flushed first, then the image is read beside qemu (`-U`).
   */
  async reference(target: string, path: string): Promise<void> {
    const state = await this.state();
    if (state === 'running') await this.suspend();
    try {
      if (state !== 'shutoff') await this.flush();
      const image = await this.imagePath(target);
      await referenceOfImage(image.path, image.format, path);
    } finally {
      if (state === 'running') await this.resume();
    }
  }

  /** The names of the checkpoints, oldest first. */
  async checkpoints(): Promise<string[]> {
    return lines(await this.virsh('checkpoint-list', '--name', '--topological'));
  }

  /** The disk's dirty bitmaps: from qemu while the VM runs, else from the image. */
  async bitmaps(target: string): Promise<Bitmap[]> {
    if ((await this.state()) === 'shutoff') return bitmapsOfImage((await this.imagePath(target)).path);
    const disk = (await this.liveDisks()).get(target);
    if (disk === undefined) throw new TestKitError('USAGE', `${this.name} has no disk ${target}`);
    return bitmapsOfNodes((await this.monitor('query-block')) as BlockDevice[], disk.alias);
  }

  /** True while libvirt has a backup (or another) job for the VM. */
  async jobActive(): Promise<boolean> {
    if ((await this.state()) === 'shutoff') return false;
    try {
      return !/^Job type:\s*None/m.test(await this.virsh('domjobinfo'));
    } catch (error) {
      // What libvirt says while a job is beginning.
      if (error instanceof Error && error.message.includes('backup job data missing')) return true;
      throw error;
    }
  }

  /** Runs a QMP command and gives its `return`. */
  async monitor(execute: string, args?: Readonly<Record<string, unknown>>): Promise<unknown> {
    const command = JSON.stringify(args === undefined ? { execute } : { execute, arguments: args });
    const answer = JSON.parse(await this.virsh('qemu-monitor-command', command)) as {
      return?: unknown;
      error?: { desc: string };
    };
    if (answer.error !== undefined) throw new TestKitError('PROGRAM_FAILED', `${execute}: ${answer.error.desc}`);
    return answer.return;
  }

  /** Adds a disk to the VM, to the running one too. */
  async attachDisk(spec: DiskSpec): Promise<void> {
    const number = Number(/(\d+)-/.exec(this.diskList[0]?.path.split('/').pop() ?? '')?.[1] ?? '0');
    const disk = await prepareDisk(this.libvirt.folder, number, spec);
    const file = join(this.libvirt.folder, 'images', `attach-${this.uuid}.xml`);
    await writeFile(file, diskXmlOf(spec, disk));
    const live = (await this.state()) === 'shutoff' ? [] : ['--live'];
    await this.virsh('attach-device', file, '--config', ...live);
    this.diskList.push(disk);
    this.live = null;
  }

  async detachDisk(target: string): Promise<void> {
    const live = (await this.state()) === 'shutoff' ? [] : ['--live'];
    await this.virsh('detach-disk', target, '--config', ...live);
    this.diskList = this.diskList.filter((disk) => disk.target !== target);
    this.live = null;
  }

  /** Resizes a disk of a running or paused VM; `size` in bytes. */
  async resizeDisk(target: string, size: number): Promise<void> {
    await this.virsh('blockresize', target, `${size}B`);
  }

  /** Waits for the guest's agent. */
  waitForAgent(options: { timeoutMs?: number } = {}): Promise<void> {
    return this.agent.waitUntilUp(options);
  }

  /** Runs a shell command in the guest. GUEST error when its exit code is not 0. */
  guestExec(command: string): Promise<GuestResult> {
    return this.agent.exec(command);
  }

  fsFrozen(): Promise<boolean> {
    return this.agent.fsFrozen();
  }

  private async liveDisks(): Promise<Map<string, LiveDisk>> {
    this.live ??= disksOf(await this.xml());
    return this.live;
  }
}

function lines(text: string): string[] {
  return text.split('\n').filter((line) => line.trim() !== '');
}
