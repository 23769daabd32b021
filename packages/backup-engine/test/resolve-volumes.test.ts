import { type DiskDescription, LibvirtError } from '@virtnbd/libvirt-ops';
import { expect, test } from 'vitest';
import { chooseDisks } from '../src/plan/disks.ts';
import { resolveVolumes } from '../src/plan/resolve-volumes.ts';

const volume: DiskDescription = {
  ...{ target: 'vda', bus: null, device: 'disk', type: 'volume', format: 'qcow2', source: null },
  ...{ readonly: false, shareable: false, transient: false, backingChain: false, encrypted: false },
  volume: { pool: 'pool', volume: 'vol' },
};

test.each([
  ['file', 'file'],
  ['block', 'block'],
  ['network', 'network'],
] as const)('a volume that the pool keeps as %s is a disk of type %s', async (type, expected) => {
  const libvirt = { volume: async () => ({ name: 'vol', type, path: '/pool/vol' }) };
  expect(await resolveVolumes(libvirt, [volume])).toMatchObject([{ type: expected, source: '/pool/vol' }]);
});

test('a volume that is not found is refused only where it is wanted', async () => {
  const libvirt = { volume: () => Promise.reject(new LibvirtError('NO_STORAGE_POOL', 'no pool')) };
  const disks = await resolveVolumes(libvirt, [volume, { ...volume, target: 'vdb', type: 'file', source: '/b' }]);
  expect(() => chooseDisks(disks)).toThrow(/virsh pool-start pool/);
  expect(chooseDisks(disks, { exclude: ['vda'] }).disks).toHaveLength(1);
});

test('a connection that is gone is an error', async () => {
  const lost = new LibvirtError('RPC', 'gone');
  await expect(resolveVolumes({ volume: () => Promise.reject(lost) }, [volume])).rejects.toBe(lost);
});
