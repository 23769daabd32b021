import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { decodeManifest, type Manifest } from '@virtnbd/backup-set';
import {
  type DaemonOptions,
  type DiskOperation,
  type DiskSpec,
  type Random,
  type SshServer,
  type TempFolder,
  TestLibvirt,
  type TestVm,
  tempFolder,
} from '@virtnbd/test-kit';
import { expect } from 'vitest';
import { type CommandResult, run, succeed } from './commands.ts';
import { difference } from './images.ts';

const execute = promisify(execFile);

/** What a folder may be called; the established tool finds nothing in such a one. */
const ODD_NAME = `backup [of] 'it' ü`;

/** A VM, a backup folder, and for every restore point a raw reference of what each disk held at that moment. */
export class Scenario implements AsyncDisposable {
  readonly libvirt: TestLibvirt;
  readonly vm: TestVm;
  /** A folder of the test's own, for whatever it needs. */
  readonly work: TempFolder;
  /** The backup folder; its path has what a path may have. */
  readonly folder: string;
  readonly #owner: boolean;
  readonly #references = new Map<string, string[]>();
  /** By disk, also of those that the VM no longer has. */
  readonly #imageNames = new Map<string, string>();
  #restores = 0;
  #remote: NodeJS.ProcessEnv = {};

  private constructor(libvirt: TestLibvirt, vm: TestVm, work: TempFolder, folder = ODD_NAME, owner = true) {
    this.libvirt = libvirt;
    this.vm = vm;
    this.work = work;
    this.#owner = owner;
    this.folder = join(work.path, folder);
  }

  /** The same VM, with another backup folder and references of its own. */
  static async copyOf({ libvirt, vm }: Scenario, folder = ODD_NAME): Promise<Scenario> {
    return new Scenario(libvirt, vm, await tempFolder(), folder, false);
  }

  /** A paused VM with these disks in a libvirt that the caller has, and stops. */
  static async in(
    libvirt: TestLibvirt,
    disks: readonly DiskSpec[],
    { name, guest = false }: { name?: string; guest?: boolean } = {},
  ): Promise<Scenario> {
    const vm = await libvirt.createVm({ disks, guest, paused: true, ...(name !== undefined && { name }) });
    return new Scenario(libvirt, vm, await tempFolder(), ODD_NAME, false);
  }

  /** Starts a libvirt of its own and a paused VM with these disks. */
  static async start(
    disks: readonly DiskSpec[] = [{ target: 'vda' }],
    { name, folder, daemon }: { name?: string; folder?: string; daemon?: DaemonOptions } = {},
  ): Promise<Scenario> {
    const work = await tempFolder();
    const libvirt = await TestLibvirt.start(daemon);
    try {
      const vm = await libvirt.createVm({ disks, ...(name !== undefined && { name }) });
      return new Scenario(libvirt, vm, work, folder);
    } catch (error) {
      await libvirt.stop();
      await work.remove();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#owner) await this.libvirt.stop();
    await this.work.remove();
  }

  get env(): NodeJS.ProcessEnv {
    return { LIBVIRT_DEFAULT_URI: this.libvirt.uri, HOME: this.work.path, ...this.#remote };
  }

  /** From now on the commands are given this URI. */
  connectBy(uri: string): void {
    this.#remote = { LIBVIRT_DEFAULT_URI: uri };
  }

  /** From now on the commands reach the libvirt, at its own socket or another one, through this ssh server. */
  connectThrough({ address, port, user, binFolder }: SshServer, socket = this.libvirtSocket): void {
    this.#remote = {
      LIBVIRT_DEFAULT_URI: `qemu+ssh://${user}@${address}:${port}/session?socket=${socket}`,
      PATH: `${binFolder}:${process.env.PATH}`,
    };
  }

  get libvirtSocket(): string {
    return new URL(this.libvirt.uri).searchParams.get('socket') ?? '';
  }

  /** The arguments of a backup of this VM into this folder. */
  backupArgs(level: string, ...args: readonly string[]): string[] {
    return [`--domain=${this.vm.name}`, '-l', level, '-o', this.folder, '-n', ...args];
  }

  /** Runs a backup, whatever its exit code. */
  tryBackup(level: string, ...args: readonly string[]): Promise<CommandResult> {
    return run('virtnbdbackup', this.backupArgs(level, ...args), this.env);
  }

  /** Takes a reference of each disk, then a backup that must succeed and makes the restore point `point`. */
  async backup(level: string, point: string, ...args: readonly string[]): Promise<CommandResult> {
    await this.keepReference(point);
    return this.backupOnly(level, ...args);
  }

  /** A backup that must succeed, without references: for disks that are too large for them. */
  backupOnly(level: string, ...args: readonly string[]): Promise<CommandResult> {
    return succeed('virtnbdbackup', this.backupArgs(level, ...args), this.env);
  }

  /** A backup that must succeed and makes one new restore point, whose id it returns; with references. */
  async newPoint(level: string, ...args: readonly string[]): Promise<string> {
    const before = await this.points();
    await this.backupOnly(level, ...args);
    const [point = ''] = (await this.points()).filter((id) => !before.includes(id));
    await this.keepReference(point);
    return point;
  }

  /** Keeps what the disks, or some of them, hold now as what `point` must give back. */
  async keepReference(point: string, disks = this.vm.disks.map(({ target }) => target)): Promise<void> {
    for (const target of disks) {
      this.imageName(target);
      await this.vm.reference(target, this.reference(point, target));
    }
    this.#references.set(point, disks);
  }

  reference(point: string, disk: string): string {
    return join(this.work.path, `${point}.${disk}.reference`);
  }

  /** The restore points that the folder's manifests name. */
  async points(): Promise<string[]> {
    const suffix = '.manifest.json';
    const names = await readdir(this.folder).catch(() => []);
    return names.filter((name) => name.endsWith(suffix)).map((name) => name.slice(0, -suffix.length));
  }

  /** What the folder's manifests say. */
  async manifests(): Promise<Manifest[]> {
    const names = (await this.points()).map((point) => `${point}.manifest.json`);
    return await Promise.all(names.map(async (name) => decodeManifest(await readFile(join(this.folder, name)), name)));
  }

  /** Restores `point` into a new folder, which it returns; the restore must succeed. */
  async restore(point: string, ...args: readonly string[]): Promise<string> {
    const target = join(this.work.path, `restore-${this.#restores++}`);
    await succeed('virtnbdrestore', ['-i', this.folder, '-o', target, '-n', '--until', point, ...args], this.env);
    return target;
  }

  /** Every point that was backed up comes back as it was, on every disk. */
  async expectAllPointsExact(): Promise<void> {
    for (const point of this.#references.keys()) await this.expectExact(point);
  }

  /** A point comes back as it was, and with just the disks that it was made of. */
  async expectExact(point: string): Promise<void> {
    const target = await this.restore(point);
    const disks = this.#references.get(point) ?? [];
    for (const disk of disks) {
      const image = join(target, this.imageName(disk));
      expect(await difference(image, this.reference(point, disk)), `${disk} at ${point}`).toBeNull();
    }
    const others = [...this.#imageNames].filter(([disk]) => !disks.includes(disk)).map(([, name]) => name);
    const names = await readdir(target);
    expect(
      names.filter((name) => others.includes(name)),
      point,
    ).toEqual([]);
  }

  /** Restores `point` and reads ranges of one of its disks, each of which holds one value only. */
  async expectBytes(
    point: string,
    disk: string,
    ranges: readonly { offset: number; length: number; value: number }[],
  ): Promise<void> {
    const image = join(await this.restore(point), this.imageName(disk));
    const reads = ranges.flatMap(({ offset, length, value }) => ['-c', `read -P ${value} ${offset} ${length}`]);
    const { stdout } = await execute('qemu-io', ['-r', '-f', 'qcow2', ...reads, image]);
    expect(stdout).not.toContain('verification failed');
    expect(stdout.match(/^read \d+\/\d+ bytes/gm)).toHaveLength(ranges.length);
  }

  /** The base name of the image that a disk was made with, which a restored image has too. */
  imageName(disk: string): string {
    const path = this.vm.disks.find(({ target }) => target === disk)?.path;
    if (path !== undefined) this.#imageNames.set(disk, path.slice(path.lastIndexOf('/') + 1));
    return this.#imageNames.get(disk) ?? '';
  }
}

/** `count` random writes, writes of zeroes and discards on a disk of `size` bytes. */
export function randomOperations(random: Random, target: string, size: number, count: number): DiskOperation[] {
  return Array.from({ length: count }, () => {
    // Some ranges in whole clusters, so that zeroing really frees them; some in sectors, so that clusters are mixed.
    const alignment = random.pick([512, 4096, 65536]);
    const range = { target, ...random.range(size, { alignment, longest: random.pick([65536, 1 << 20, 4 << 20]) }) };
    switch (random.integer(0, 4)) {
      case 0:
        return { kind: 'zero', ...range, unmap: random.boolean() };
      case 1:
        return { kind: 'discard', ...range };
      default:
        return { kind: 'write', ...range, pattern: random.integer(1, 255) };
    }
  });
}
