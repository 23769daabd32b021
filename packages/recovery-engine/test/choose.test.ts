import { describe, expect, test } from 'vitest';
import { chooseVolume } from '../src/mount/choose-volume.ts';
import { chooseWay, type MountTools } from '../src/mount/ways.ts';
import type { Content } from '../src/volumes/content.ts';
import type { Volume } from '../src/volumes/layout.ts';

const MIB = 1024 * 1024;

function volume(number: number | null, kind: Content['kind'], type: string, label = ''): Volume {
  const place = { start: (number ?? 0) * MIB, length: 100 * MIB };
  const partition = number === null ? null : { number, ...place, name: '' };
  return { partition, ...place, content: { kind, type, label, mark: 0 } };
}

const root = volume(2, 'filesystem', 'ext4', 'root');
const efi = volume(15, 'filesystem', 'vfat');
const boot = volume(14, 'empty', '');
const group = volume(3, 'volume-group', 'LVM', 'guestvg');
const choose = (volumes: readonly Volume[], wanted?: string) => chooseVolume({ volumes, notes: [] }, wanted);

describe('chooseVolume', () => {
  test('the one file system needs no number', () => {
    expect(choose([boot, root])).toEqual({ kind: 'volume', volume: root });
    const whole = volume(null, 'filesystem', 'xfs');
    expect(choose([whole])).toEqual({ kind: 'volume', volume: whole });
  });

  test('of several file systems none is guessed, and all are listed', () => {
    const listed = /partition 2, 100 MiB, ext4 "root"\npartition 15, 100 MiB, vfat/;
    expect(() => choose([root, efi])).toThrow(
      expect.objectContaining({ code: 'CHOOSE_PARTITION', message: expect.stringMatching(listed) }),
    );
    expect(choose([root, efi], '15')).toEqual({ kind: 'volume', volume: efi });
  });

  test('a volume group beside a file system is a choice, too', () => {
    expect(() => choose([root, group])).toThrow(/--partition guestvg\/NAME/);
    expect(() => choose([group])).toThrow(expect.objectContaining({ code: 'CHOOSE_PARTITION' }));
    expect(choose([root, group], 'guestvg/root')).toEqual({ kind: 'logical-volume', device: '/dev/guestvg/root' });
    expect(choose([group], '/dev/guestvg/root')).toEqual({ kind: 'logical-volume', device: '/dev/guestvg/root' });
  });

  test.each(['7', '14', '3', 'x', 'other/root', '../sda', 'guestvg/../../x', '-o/x', 'guestvg/'])(
    '%s, which is not there or cannot be mounted, is refused with what there is',
    (wanted) => {
      expect(() => choose([root, boot, group], wanted)).toThrow(expect.objectContaining({ code: 'UNKNOWN_PARTITION' }));
    },
  );
});

describe('chooseWay', () => {
  const all: MountTools = { root: true, fuse: true, loop: true, nbdfuse: true, guestmount: true };
  const whole = choose([volume(null, 'filesystem', 'xfs')]);
  const logical = choose([group], 'guestvg/root');

  test('the kernel where root can, guestmount for others and for logical volumes', () => {
    expect(chooseWay(whole, all)).toBe('loop');
    expect(chooseWay(whole, { ...all, guestmount: false })).toBe('loop');
    expect(chooseWay(whole, { ...all, root: false })).toBe('guestmount');
    expect(chooseWay(whole, { ...all, nbdfuse: false })).toBe('guestmount');
    expect(chooseWay(whole, { ...all, loop: false })).toBe('guestmount');
    expect(chooseWay(logical, all)).toBe('guestmount');
  });

  test('what is missing is told by name', () => {
    const missing = (text: string) =>
      expect.objectContaining({ code: 'MISSING_TOOL', message: expect.stringContaining(text) });
    const noGuestmount = { ...all, guestmount: false };
    expect(() => chooseWay(whole, { ...noGuestmount, nbdfuse: false })).toThrow(missing('libnbd-bin'));
    expect(() => chooseWay(whole, { ...noGuestmount, root: false })).toThrow(missing('not root'));
    expect(() => chooseWay(logical, noGuestmount)).toThrow(missing('apt-get install guestmount'));
    expect(() => chooseWay(whole, { ...all, fuse: false })).toThrow(missing('/dev/fuse'));
  });
});
