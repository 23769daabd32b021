import { join } from 'node:path';
import { fixtures } from '@virtnbd/sample-sets';
import { requires } from '@virtnbd/test-kit';
import { describe, expect, test } from 'vitest';
import { bytesOf, Place } from './support.ts';

const folder = join(fixtures, 'plain-full-inc-inc-diff');
const FULL = 'vda.full.data';
const INC1 = 'vda.inc.virtnbdbackup.1.data';
const INC2 = 'vda.inc.virtnbdbackup.2.data';
const DIFF = 'vda.diff.1795421522.data';

describe.skipIf(requires('qemu-img', 'qemu-nbd').skip)('a sequence of files', () => {
  test.each([
    [[FULL], 'virtnbdbackup.0'],
    [[FULL, INC1], 'virtnbdbackup.1'],
    [[FULL, INC1, INC2, DIFF], '1795421522'],
  ])('makes the disk of its last file, named after the disk: %j', async (sequence, point) => {
    await using place = await Place.make();
    await place.restore({ folder, sequence });
    expect(await place.restored()).toEqual(['vda.qcow2']);
    const byHand = await bytesOf(join(place.target, 'vda.qcow2'), 'qcow2');
    await place.restore({ folder, point });
    expect((await bytesOf(join(place.target, 'disk.qcow2'), 'qcow2')).equals(byHand)).toBe(true);
  });

  test.each([
    ['with a gap', [FULL, INC2], 'builds upon virtnbdbackup.1'],
    ['without a base', [INC1], 'begins with a base'],
    ['with a file twice', [FULL, INC1, INC1], 'there twice'],
    ['in the wrong order', [FULL, INC2, INC1], 'builds upon'],
    ['of a file that is not there', [FULL, 'vdb.full.data'], 'no data file'],
    ['of nothing', [], 'no file'],
  ])('%s is refused', async (_what, sequence, text) => {
    await using place = await Place.make();
    await expect(place.restore({ folder, sequence })).rejects.toMatchObject({
      code: 'BAD_SEQUENCE',
      message: expect.stringContaining(text),
    });
    expect(await place.restored()).toEqual([]);
  });

  test('of two disks is refused', async () => {
    await using place = await Place.make();
    const sequence = ['vda.full.data', 'vdaa.copy.data'];
    const restoring = place.restore({ folder: join(fixtures, 'two-disks-one-raw'), sequence });
    await expect(restoring).rejects.toMatchObject({ code: 'BAD_SEQUENCE' });
  });
});
