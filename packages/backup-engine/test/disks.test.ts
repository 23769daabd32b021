import type { DiskDescription } from '@virtnbd/libvirt-ops';
import { expect, test } from 'vitest';
import { chooseDisks } from '../src/plan/disks.ts';

function disk(target: string, rest: Partial<DiskDescription> = {}): DiskDescription {
  return {
    target,
    bus: null,
    device: 'disk',
    type: 'file',
    format: 'qcow2',
    source: `/images/${target}.qcow2`,
    readonly: false,
    shareable: false,
    transient: false,
    backingChain: false,
    encrypted: false,
    ...rest,
  };
}

const targets = (all: DiskDescription[], selection = {}): string[] =>
  chooseDisks(all, selection).disks.map(({ target }) => target);

test('every qcow2 disk is saved', () => {
  expect(targets([disk('vda'), disk('vdaa')])).toEqual(['vda', 'vdaa']);
});

test('removable drives are left out with a note, LUNs and raw images with a warning', () => {
  const all = [
    disk('vda'),
    disk('sda', { device: 'cdrom', format: 'raw' }),
    disk('fda', { device: 'floppy' }),
    disk('sdb', { device: 'lun', type: 'block', format: 'raw' }),
    disk('vdb', { format: 'raw' }),
  ];
  const { disks, notes, warnings } = chooseDisks(all);
  expect(disks.map(({ target }) => target)).toEqual(['vda']);
  expect([notes.length, warnings.length]).toEqual([2, 2]);
});

test('include and exclude go by the whole name', () => {
  const all = [disk('vda'), disk('vdaa'), disk('vdb')];
  expect(targets(all, { include: ['vda'] })).toEqual(['vda']);
  expect(targets(all, { exclude: ['vda'] })).toEqual(['vdaa', 'vdb']);
});

test('an included disk that the VM has not is refused, with the names that it has', () => {
  expect(() => chooseDisks([disk('vda')], { include: ['vdz'] })).toThrow(
    expect.objectContaining({ code: 'UNKNOWN_DISK', message: expect.stringContaining('vda') }),
  );
});

test('a raw image that is asked for by name is refused unless raw images are saved', () => {
  const all = [disk('vda'), disk('vdb', { format: 'raw' })];
  expect(() => chooseDisks(all, { include: ['vda', 'vdb'] })).toThrow(
    expect.objectContaining({ code: 'UNSUPPORTED_DISK', disk: 'vdb', message: expect.stringContaining('--raw') }),
  );
  expect(targets(all, { include: ['vdb'], raw: true })).toEqual(['vdb']);
});

test('with raw, raw files, block devices and LUNs are saved, too, and tell no changes', () => {
  const all = [
    disk('vda', { format: 'raw' }),
    disk('vdb', { type: 'block', format: 'raw', source: '/dev/vg/lv' }),
    disk('sda', { device: 'lun', type: 'block', format: 'raw', source: '/dev/sdz' }),
    disk('vdc'),
  ];
  const { disks, warnings } = chooseDisks(all, { raw: true });
  expect(disks.map(({ target, tracksChanges }) => [target, tracksChanges])).toEqual([
    ['vda', false],
    ['vdb', false],
    ['sda', false],
    ['vdc', true],
  ]);
  expect(warnings).toEqual([]);
});

test('an excluded disk that the VM has not is a warning', () => {
  expect(chooseDisks([disk('vda')], { exclude: ['vdz'] }).warnings).toHaveLength(1);
});

test.each([
  ['a network disk', { type: 'network', format: 'raw' }],
  ['a volume that was not found', { type: 'volume' }],
  ['an NVMe device', { type: 'nvme', format: 'raw', source: null }],
  ['a vhost-user disk', { type: 'vhostuser', format: 'raw', source: null }],
  ['a folder', { type: 'dir', format: 'fat' }],
  ['a disk that other VMs share', { shareable: true }],
  ['an image of another format', { format: 'vmdk' }],
  ['an image without a path', { source: null }],
  ['an encrypted image', { encrypted: true }],
  ['a read-only disk', { readonly: true }],
] as [string, Partial<DiskDescription>][])('%s is refused, and the hint says how to exclude it', (_name, rest) => {
  expect(() => chooseDisks([disk('vda'), disk('vdb', rest)])).toThrow(
    expect.objectContaining({ code: 'UNSUPPORTED_DISK', disk: 'vdb', message: expect.stringContaining('-x vdb') }),
  );
  expect(targets([disk('vda'), disk('vdb', rest)], { exclude: ['vdb'] })).toEqual(['vda']);
});

test('a disk on a network is saved while the VM runs; one that is yet to be started cannot tell its size', () => {
  const remote = disk('vdb', { type: 'network', source: null, network: { protocol: 'rbd', name: 'pool/image' } });
  const [saved] = chooseDisks([remote]).disks;
  expect(saved).toMatchObject({ onNetwork: true, tracksChanges: true, source: 'rbd:pool/image/vdb' });
  expect(() => chooseDisks([remote], {}, 'off')).toThrow(/start the VM first/);
  expect(() => chooseDisks([remote], {}, 'paused', 'off')).toThrow(/start the VM first/);
});

test('a shared raw disk is refused where raw images are saved, and left out where not', () => {
  const all = [disk('vda'), disk('vdb', { format: 'raw', shareable: true })];
  expect(targets(all)).toEqual(['vda']);
  expect(() => chooseDisks(all, { raw: true })).toThrow(expect.objectContaining({ disk: 'vdb' }));
});

test('an encrypted disk is saved when its plain text may lie in the folder', () => {
  expect(targets([disk('vda', { encrypted: true })], { allowPlaintext: true })).toEqual(['vda']);
});

test('a VM without a disk to save is refused', () => {
  expect(() => chooseDisks([disk('sda', { device: 'cdrom' })])).toThrow(expect.objectContaining({ code: 'NO_DISKS' }));
});

test('an encrypted disk is not saved while the VM is off, a transient one only then', () => {
  const encrypted = disk('vda', { encrypted: true, secret: { uuid: 'a-uuid' } });
  expect(() => chooseDisks([encrypted], { allowPlaintext: true }, 'off')).toThrow(/-S/);
  expect(chooseDisks([encrypted], { allowPlaintext: true }).disks[0]?.secret).toEqual({ uuid: 'a-uuid' });
  expect(() => chooseDisks([disk('vda', { transient: true })], {}, 'paused')).toThrow(/off/);
  expect(chooseDisks([disk('vda', { transient: true })], {}, 'off').disks).toHaveLength(1);
});
