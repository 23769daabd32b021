import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { nbdUri, referenceViaNbd, requires, TestLibvirt, tempFolder } from '@virtnbd/test-kit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { NbdClient, STATE_DIRTY, STATE_ZERO } from '../src/index.ts';
import { collect } from './expect-error.ts';

const needed = requires('libvirt');
const MIB = 1024 * 1024;

describe.skipIf(needed.skip)('the NBD export of a libvirt backup job', () => {
  let libvirt: TestLibvirt;
  beforeAll(async () => {
    libvirt = await TestLibvirt.start();
  });
  afterAll(() => libvirt?.stop());

  test('gives the disk of the moment, and its dirty bitmap what changed since the checkpoint', async () => {
    await using folder = await tempFolder();
    const vm = await libvirt.createVm({ name: 'nbd-client', disks: [{ target: 'vda', size: '64M' }] });
    await vm.write('vda', 0, 3 * MIB, 0x11);
    await begin('full', folder.path, '');
    await vm.virsh('domjobabort');
    await vm.write('vda', 5 * MIB, 131_072, 0x22);
    await vm.zero('vda', MIB, 65_536, { unmap: true });
    await vm.discard('vda', 2 * MIB, 65_536);

    const socket = await begin('inc', folder.path, '<incremental>full</incremental>');
    await vm.write('vda', 0, MIB, 0x33); // after the moment: it must not be seen
    const reference = join(folder.path, 'reference.raw');
    await referenceViaNbd(nbdUri(socket, 'vda'), reference);
    const expected = await readFile(reference);
    expect(expected[0]).toBe(0x11);

    const bitmap = 'qemu:dirty-bitmap:backup-vda';
    const contexts = ['base:allocation', bitmap];
    expect((await NbdClient.list({ path: socket })).map(({ exportName }) => exportName)).toEqual(['vda']);
    expect((await NbdClient.listMetaContexts({ path: socket }, { exportName: 'vda' })).sort()).toEqual(contexts);
    for (const connections of [1, 3]) {
      const options = { exportName: 'vda', metaContexts: contexts, connections };
      await using client = await NbdClient.connect({ path: socket }, options);
      expect(client).toMatchObject({ size: 64 * MIB, readOnly: true, connections });
      const disk = new Uint8Array(client.size);
      await client.read(0, disk);
      expect(Buffer.compare(disk, expected)).toBe(0);

      const runs = await collect(client.extents());
      const dirty = runs.filter(({ flags }) => ((flags[1] ?? 0) & STATE_DIRTY) !== 0);
      expect(covered(dirty)).toEqual([
        [MIB, MIB + 65_536],
        [2 * MIB, 2 * MIB + 65_536],
        [5 * MIB, 5 * MIB + 131_072],
      ]);
      for (const { start, length, flags } of runs) {
        if (((flags[0] ?? 0) & STATE_ZERO) === 0) continue;
        expect(expected.subarray(start, start + length).every((byte) => byte === 0)).toBe(true);
      }
    }
    await vm.virsh('domjobabort');

    async function begin(name: string, place: string, incremental: string): Promise<string> {
      const path = join(libvirt.workFolder, `${name}.sock`);
      const scratch = join(libvirt.workFolder, `${name}.scratch`);
      const disk = `<disk name='vda' backup='yes' type='file'><scratch file='${scratch}'/></disk>`;
      const server = `<server transport='unix' socket='${path}'/>`;
      const xml = `<domainbackup mode='pull'>${incremental}${server}<disks>${disk}</disks></domainbackup>`;
      const checkpoint = `<domaincheckpoint><name>${name}</name></domaincheckpoint>`;
      await writeFile(join(place, `${name}.xml`), xml);
      await writeFile(join(place, `${name}.checkpoint.xml`), checkpoint);
      const files = [join(place, `${name}.xml`), join(place, `${name}.checkpoint.xml`)];
      await vm.virsh('backup-begin', ...files);
      return path;
    }
  });
});

/** Start and end of runs, neighbours joined. */
function covered(runs: readonly { start: number; length: number }[]): number[][] {
  const ranges: number[][] = [];
  for (const { start, length } of runs) {
    const last = ranges.at(-1);
    if (last !== undefined && last[1] === start) last[1] = start + length;
    else ranges.push([start, start + length]);
  }
  return ranges;
}
