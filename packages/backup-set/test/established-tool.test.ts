import { join } from 'node:path';
import { requires, TestLibvirt, type TestVm } from '@virtnbd/test-kit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BackupSet } from '../src/index.ts';
import { host, tempFolder } from './support.ts';

const MiB = 1024 * 1024;

describe.skipIf(requires('libvirt', 'virtnbdbackup').skip)(
  'a folder that the installed established tool writes',
  () => {
    let libvirt: TestLibvirt;
    beforeAll(async () => {
      libvirt = await TestLibvirt.start();
    });
    afterAll(async () => {
      await libvirt?.stop();
    });

    const open = (folder: string): Promise<BackupSet> => BackupSet.open(host, folder);
    const points = (set: BackupSet): unknown =>
      set.points.map(({ id, level, parent, disks }) => [id, level, parent, disks.map(({ disk }) => disk)]);

    async function backup(vm: TestVm, level: string, folder: string): Promise<void> {
      await libvirt.run('virtnbdbackup', ['-U', libvirt.uri, '-d', vm.name, '-l', level, '-o', folder]);
    }

    test('it is read with its offline increments, and what they have overwritten is told', async () => {
      const folder = join(await tempFolder(), 'set');
      const vm = await libvirt.createVm({
        disks: [
          { target: 'vda', size: 16 * MiB },
          { target: 'vdb', size: 16 * MiB },
        ],
      });
      const both = ['vda', 'vdb'];
      await vm.write('vda', 0, MiB, 1);
      await backup(vm, 'full', folder);
      await vm.destroy();
      await backup(vm, 'inc', folder);
      await vm.start();
      await vm.write('vda', MiB, MiB, 2);
      await backup(vm, 'inc', folder);
      const set = await open(folder);
      expect(set.problems).toEqual([]);
      expect(points(set)).toEqual([
        ['virtnbdbackup.0', 'full', null, both],
        ['virtnbdbackup.0+offline', 'inc', 'virtnbdbackup.0', both],
        ['virtnbdbackup.1', 'inc', 'virtnbdbackup.0', both],
      ]);
      expect(set.chain('latest').map(({ id }) => id)).toEqual(['virtnbdbackup.0', 'virtnbdbackup.1']);
      expect(set.checkpoints).toEqual([
        { name: 'virtnbdbackup.0', creationTime: expect.any(Number), run: null },
        { name: 'virtnbdbackup.1', creationTime: expect.any(Number), run: null },
      ]);

      await backup(vm, 'diff', folder);
      expect((await open(folder)).chain('latest').at(-1)).toMatchObject({ level: 'diff', parent: 'virtnbdbackup.1' });

      await vm.destroy();
      await backup(vm, 'inc', folder);
      const lost = await open(folder);
      expect(() => lost.chain('latest')).toThrowError(expect.objectContaining({ code: 'GAP' }));
      expect(lost.problems.map(({ code, files }) => [code, files])).toEqual([
        ['GAP', ['vda.inc.virtnbdbackup.1.data']],
        ['GAP', ['vdb.inc.virtnbdbackup.1.data']],
      ]);
      expect(lost.chain('virtnbdbackup.0+offline')).toHaveLength(2);
    });
  },
);
