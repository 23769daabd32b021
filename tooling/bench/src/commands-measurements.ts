import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run, type TempFolder, TestLibvirt, type TestVm, tempFolder } from '@virtnbd/test-kit';
import type { Comparison, Side } from './commands-compare.ts';
import { makeDisk, makeFragmented } from './commands-disk.ts';
import { timed } from './program.ts';

/** How much work each measurement is. */
export interface Scale {
  dataMiB: number;
  fragments: number;
  increments: number;
  extents: number;
  /** Virtual sizes over which memory must stay flat, as qemu-img understands them. */
  sizes: readonly string[];
  rounds: number;
}

const MIB = 1 << 20;
const root = fileURLToPath(new URL('../../..', import.meta.url));
const BACKUP = `${root}apps/backup/bin/virtnbdbackup.js`;
const RESTORE = `${root}apps/restore/bin/virtnbdrestore.js`;

/** A VM of a libvirt of its own, and a folder for what comes of it. */
class Lab implements AsyncDisposable {
  readonly libvirt: TestLibvirt;
  readonly work: TempFolder;

  private constructor(libvirt: TestLibvirt, work: TempFolder) {
    this.libvirt = libvirt;
    this.work = work;
  }

  static async open(): Promise<Lab> {
    return new Lab(await TestLibvirt.start(), await tempFolder());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.libvirt.stop();
    await this.work.remove();
  }

  at(name: string): string {
    return join(this.work.path, name);
  }

  vmOf(image: string): Promise<TestVm> {
    return this.libvirt.createVm({ disks: [{ target: 'vda', image }] });
  }

  ours(bin: string, args: readonly string[]): Pick<Side, 'name' | 'program' | 'args' | 'env'> {
    const env = { LIBVIRT_DEFAULT_URI: this.libvirt.uri, HOME: this.work.path };
    return { name: 'ours', program: bin, args: [...args, '-n'], env };
  }

  theirs(command: string, args: readonly string[]): Pick<Side, 'name' | 'program' | 'args' | 'env'> {
    return { name: `established ${command}`, program: `/usr/bin/${command}`, args, env: { HOME: this.work.path } };
  }

  /** Makes a backup that is not measured. */
  async backup(vm: TestVm, folder: string, ...args: readonly string[]): Promise<void> {
    const side = this.ours(BACKUP, ['-d', vm.name, '-o', folder, ...args]);
    await timed(side.program, side.args, side.env);
  }
}

/** P2, P3: the whole disk of performance.md into a folder. */
export async function* copies(scale: Scale): AsyncGenerator<Comparison> {
  await using lab = await Lab.open();
  const image = lab.at('disk.qcow2');
  await makeDisk(image, scale);
  const vm = await lab.vmOf(image);
  const established = (...extra: string[]): Side => ({
    ...lab.theirs('virtnbdbackup', [
      ...['-U', lab.libvirt.uri, '-d', vm.name, '-l', 'copy', '-o', lab.at('theirs'), '-n', ...extra],
    ]),
    folder: lab.at('theirs'),
  });
  const ours = (...extra: string[]): Side => ({
    ...lab.ours(BACKUP, ['-d', vm.name, '-l', 'copy', '-o', lab.at('ours'), ...extra]),
    folder: lab.at('ours'),
  });
  yield { what: 'copy', ours: ours(), others: [established(), nbdcopy(lab, vm)] };
  yield { what: 'copy, lz4', ours: ours('-z'), others: [established('-z')] };
}

/** nbdcopy of a backup job's export into a file that is then on the disk. */
function nbdcopy(lab: Lab, vm: TestVm): Side {
  const folder = lab.at('nbdcopy');
  const socket = join(lab.libvirt.workFolder, 'job.sock');
  const xml = lab.at('job.xml');
  const script = 'nbdcopy "$1" "$2" && sync "$2"';
  return {
    name: 'nbdcopy, then sync',
    program: 'sh',
    args: ['-c', script, 'sh', `nbd+unix:///vda?socket=${socket}`, join(folder, 'disk')],
    folder,
    before: async () => {
      const server = `<server transport='unix' socket='${socket}'/>`;
      await writeFile(xml, `<domainbackup mode='pull'>${server}</domainbackup>`);
      await vm.virsh('backup-begin', xml);
    },
    after: () => vm.virsh('domjobabort'),
  };
}

/** P4: a full, plain and compressed, and a full with increments over the same blocks. */
export async function* restores(scale: Scale): AsyncGenerator<Comparison> {
  await using lab = await Lab.open();
  const image = lab.at('disk.qcow2');
  await makeDisk(image, scale);
  const vm = await lab.vmOf(image);
  await lab.backup(vm, lab.at('lz4'), '-l', 'copy', '-z');
  await lab.backup(vm, lab.at('chain'), '-l', 'full');
  const raw = lab.at('disk.raw');
  await vm.reference('vda', raw);
  yield { what: 'restore a full', ...restoreOf(lab, lab.at('chain'), [intoQemuNbd(lab, raw)]) };
  yield { what: 'restore from lz4', ...restoreOf(lab, lab.at('lz4')) };
  const changed = Math.floor(scale.dataMiB / 8);
  for (let n = 1; n <= scale.increments; n++) {
    for (let at = 0; at < changed; at += 16) await vm.write('vda', at * MIB, 16 * MIB, n);
    await lab.backup(vm, lab.at('chain'), '-l', 'inc');
  }
  yield { what: `restore a full and ${scale.increments} increments`, ...restoreOf(lab, lab.at('chain')) };
}

function restoreOf(lab: Lab, input: string, more: readonly Side[] = []): Omit<Comparison, 'what'> {
  const [ours, theirs] = [lab.at('restored'), lab.at('restored-theirs')];
  return {
    ours: { ...lab.ours(RESTORE, ['-i', input, '-o', ours]), folder: ours },
    others: [
      { ...lab.theirs('virtnbdrestore', ['-U', lab.libvirt.uri, '-i', input, '-o', theirs, '-n']), folder: theirs },
      ...more,
    ],
  };
}

/** nbdcopy of the same disk into an image that qemu-nbd serves, to the flush at its end. */
function intoQemuNbd(lab: Lab, raw: string): Side {
  const folder = lab.at('restored-nbdcopy');
  const script = [
    'qemu-img create -q -f qcow2 "$2" "$(stat -c %s "$1")"',
    'nbdcopy --flush "$1" -- [ qemu-nbd --format=qcow2 --discard=unmap "$2" ]',
  ].join(' && ');
  const args = ['-c', script, 'sh', raw, join(folder, 'disk.qcow2')];
  return { name: 'nbdcopy into qemu-nbd', program: 'sh', args, folder };
}

/** P5: an increment of 1 MiB on a small VM. */
export async function* increments(): AsyncGenerator<Comparison> {
  await using lab = await Lab.open();
  const [mine, their] = [await smallVm(lab), await smallVm(lab)];
  await lab.backup(mine, lab.at('ours'), '-l', 'full');
  const established = ['-U', lab.libvirt.uri, '-d', their.name, '-o', lab.at('theirs'), '-n'];
  const first = lab.theirs('virtnbdbackup', [...established, '-l', 'full']);
  await timed(first.program, first.args, first.env);
  let pattern = 0;
  const changed = (vm: TestVm) => async () => {
    pattern = (pattern + 1) % 250;
    await vm.write('vda', 8 * MIB, MIB, pattern);
  };
  yield {
    what: 'increment of 1 MiB',
    ours: { ...lab.ours(BACKUP, ['-d', mine.name, '-l', 'inc', '-o', lab.at('ours')]), before: changed(mine) },
    others: [{ ...lab.theirs('virtnbdbackup', [...established, '-l', 'inc']), before: changed(their) }],
  };
}

async function smallVm(lab: Lab): Promise<TestVm> {
  const vm = await lab.libvirt.createVm({ disks: [{ target: 'vda', size: '1G' }] });
  await vm.write('vda', 0, 32 * MIB, 0x11);
  return vm;
}

/** P6: peak memory over virtual sizes, many extents, many disks. */
export async function* memory(scale: Scale): AsyncGenerator<Comparison> {
  await using lab = await Lab.open();
  for (const size of scale.sizes) {
    const vm = await lab.libvirt.createVm({ disks: [{ target: 'vda', size }] });
    await vm.write('vda', 0, 64 * MIB, 0x11);
    yield* backupAndRestore(lab, vm, `${size} virtual`);
  }
  const fragmented = lab.at('fragmented.qcow2');
  await makeFragmented(fragmented, scale.extents);
  yield* backupAndRestore(lab, await lab.vmOf(fragmented), `${scale.extents} extents`);
  const disks = Array.from({ length: 20 }, (_, n) => ({ target: `vd${String.fromCharCode(97 + n)}`, size: '64M' }));
  const vm = await lab.libvirt.createVm({ disks });
  for (const { target } of disks) await vm.write(target, 0, 32 * MIB, 0x11);
  yield* backupAndRestore(lab, vm, '20 disks');
}

async function* backupAndRestore(lab: Lab, vm: TestVm, what: string): AsyncGenerator<Comparison> {
  const [folder, target] = [lab.at('memory'), lab.at('memory-restored')];
  const ours: Side = { ...lab.ours(BACKUP, ['-d', vm.name, '-l', 'copy', '-z', '-o', folder]), folder };
  yield { what: `backup with lz4, ${what}`, ours, others: [] };
  await lab.backup(vm, folder, '-l', 'copy', '-z');
  const restore = { ...lab.ours(RESTORE, ['-i', folder, '-o', target]), folder: target };
  yield { what: `restore from lz4, ${what}`, ours: restore, others: [] };
  await run('rm', ['-rf', folder]);
}

/** P8: what only prints. */
export async function* help(): AsyncGenerator<Comparison> {
  for (const option of ['--help', '--version']) {
    yield {
      what: `virtnbdbackup ${option}`,
      ours: { name: 'ours', program: BACKUP, args: [option] },
      others: [{ name: 'established virtnbdbackup', program: '/usr/bin/virtnbdbackup', args: [option] }],
    };
  }
}
