import type { DiskDescription } from '@virtnbd/libvirt-ops';
import { expect, test } from 'vitest';
import { chooseDisks } from '../src/disks.ts';

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

test('removable drives, LUNs and raw images are left out, each with a note', () => {
  const all = [
    disk('vda'),
    disk('sda', { device: 'cdrom', format: 'raw' }),
    disk('fda', { device: 'floppy' }),
    disk('sdb', { device: 'lun', type: 'block', format: 'raw' }),
    disk('vdb', { format: 'raw' }),
  ];
  const { disks, notes } = chooseDisks(all);
  expect(disks.map(({ target }) => target)).toEqual(['vda']);
  expect(notes).toHaveLength(4);
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

test('an excluded disk that the VM has not is a note', () => {
  expect(chooseDisks([disk('vda')], { exclude: ['vdz'] }).notes).toHaveLength(1);
});

test.each([
  ['a network disk', { type: 'network', format: 'raw' }],
  ['a volume', { type: 'volume' }],
  ['an image of another format', { format: 'vmdk' }],
  ['an image without a path', { source: null }],
  ['an encrypted image', { encrypted: true }],
] as [string, Partial<DiskDescription>][])('%s is refused, and the hint says how to exclude it', (_name, rest) => {
  expect(() => chooseDisks([disk('vda'), disk('vdb', rest)])).toThrow(
    expect.objectContaining({ code: 'UNSUPPORTED_DISK', disk: 'vdb', message: expect.stringContaining('-x vdb') }),
  );
  expect(targets([disk('vda'), disk('vdb', rest)], { exclude: ['vdb'] })).toEqual(['vda']);
});

test('an encrypted disk is saved when its plain text may lie in the folder', () => {
  expect(targets([disk('vda', { encrypted: true })], { allowPlaintext: true })).toEqual(['vda']);
});

test('a VM without a disk to save is refused', () => {
  expect(() => chooseDisks([disk('sda', { device: 'cdrom' })])).toThrow(expect.objectContaining({ code: 'NO_DISKS' }));
});
