import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run, sha256File, TestLibvirt, type TestVm } from '@virtnbd/test-kit';

const KIB = 1024;
const MIB = 1024 * KIB;

/** By its full path: a program of ours has the same name and may come first on the PATH. */
export const ESTABLISHED_BACKUP = '/usr/bin/virtnbdbackup';

interface Work {
  readonly libvirt: TestLibvirt;
  /** A folder of its own. */
  readonly folder: string;
}

/** Each gives one folder of backups. What is written is the same in every run but for dates. */
const FOLDERS: Record<string, (work: Work) => Promise<void>> = {
  'plain-full-inc-diff': async (work) => {
    const vm = await smallVm(work, 'plain');
    await backup(work, vm, 'full', 'vda.full.data');
    await vm.write('vda', 128 * KIB, 64 * KIB, 0x33);
    await vm.zero('vda', 2 * MIB, 64 * KIB, { unmap: true });
    await backup(work, vm, 'inc', 'vda.inc.virtnbdbackup.1.data');
    await vm.write('vda', 3 * MIB, 4 * KIB, 0x44);
    await backup(work, vm, 'diff', null);
  },
  'lz4-full-inc': async (work) => {
    const vm = await smallVm(work, 'packed');
    await backup(work, vm, 'full', 'vda.full.data', '-z');
    await vm.write('vda', 128 * KIB, 64 * KIB, 0x33);
    await backup(work, vm, 'inc', 'vda.inc.virtnbdbackup.1.data', '-z');
    await backup(work, vm, 'inc', 'vda.inc.virtnbdbackup.2.data', '-z');
  },
  'lz4-level-9': async (work) => await backup(work, await smallVm(work, 'nine'), 'copy', 'vda.copy.data', '-z', '9'),
  'lz4-cut-frames': async (work) => {
    const vm = await work.libvirt.createVm({ name: 'cut', disks: [{ target: 'vda', size: 80 * MIB }] });
    await vm.write('vda', 0, 72 * MIB, 0x55);
    await backup(work, vm, 'copy', 'vda.copy.data', '-z');
  },
  'offline-copy': async (work) => {
    const vm = await smallVm(work, 'off');
    await vm.flush();
    await vm.destroy();
    await backup(work, vm, 'copy', 'vda.copy.data');
  },
};

export const FOLDER_NAMES = Object.keys(FOLDERS);

/**
 * Writes folders with the installed established tool, each with an EXPECTED.sha256: the disk's content at each point, where it is
 * known by the name of the file.
 */
export async function writeFolders(target: string, names: readonly string[] = FOLDER_NAMES): Promise<void> {
  const libvirt = await TestLibvirt.start();
  try {
    for (const name of names) await FOLDERS[name]?.({ libvirt, folder: join(target, name) });
  } finally {
    await libvirt.stop();
  }
}

async function smallVm({ libvirt }: Work, name: string): Promise<TestVm> {
  const vm = await libvirt.createVm({ name, disks: [{ target: 'vda', size: 4 * MIB }] });
  await vm.write('vda', 0, 64 * KIB, 0x11);
  await vm.write('vda', 2 * MIB, 64 * KIB, 0x22);
  return vm;
}

/** A backup, after a note of what the disk holds. @param file of the point; null when its name is not known beforehand */
async function backup(work: Work, vm: TestVm, level: string, file: string | null, ...args: string[]): Promise<void> {
  await mkdir(work.folder, { recursive: true });
  const reference = join(work.libvirt.workFolder, 'reference');
  await vm.reference('vda', reference);
  const line = `${await sha256File(reference)} ${file ?? `vda.${level}.*.data`}\n`;
  await writeFile(join(work.folder, 'EXPECTED.sha256'), line, { flag: 'a' });
  const where = ['-U', work.libvirt.uri, '-d', vm.name, '-o', work.folder, '-n'];
  await run(ESTABLISHED_BACKUP, [...where, '-l', level, ...args]);
}
