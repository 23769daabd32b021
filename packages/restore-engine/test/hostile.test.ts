import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fixtures } from '@virtnbd/sample-sets';
import { requires } from '@virtnbd/test-kit';
import { describe, expect, test } from 'vitest';
import { infoOf, Place } from './support.ts';

const POINT = 'virtnbdbackup.2';

/** A folder of the established tool, of which nothing but checksums of the data vouches for anything. */
async function theirs(change: (folder: string) => Promise<void>): Promise<{ place: Place; folder: string }> {
  const place = await Place.make();
  const folder = join(place.backup, 'theirs');
  await cp(join(fixtures, 'plain-full-inc-inc-diff'), folder, { recursive: true });
  await change(folder);
  return { place, folder };
}

const changeImageInfo = (change: (info: Record<string, unknown> & { 'format-specific': { data: object } }) => void) =>
  theirs(async (folder) => {
    const path = join(folder, `vda.${POINT}.qcow.json`);
    const info = JSON.parse(await readFile(path, 'utf8'));
    change(info);
    await writeFile(path, JSON.stringify(info));
  });

const changeDomain = (from: RegExp, to: string) =>
  theirs(async (folder) => {
    const path = join(folder, `vmconfig.${POINT}.xml`);
    const text = await readFile(path, 'utf8');
    expect(text).toMatch(from);
    await writeFile(path, text.replace(from, to));
  });

describe.skipIf(requires('qemu-img', 'qemu-nbd').skip)('a hostile folder', () => {
  test('names no image outside the target folder', async () => {
    const { place, folder } = await changeDomain(/<source file='[^']*'/, "<source file='/../../../etc/cron.d/evil'");
    await using _place = place;
    const { images } = await place.restore({ folder, point: POINT });
    expect(images[0]?.path).toBe(join(place.target, 'evil'));
  });

  test.each(['/images/..', '/images/a&#10;b', `/images/${'x'.repeat(300)}`])(
    'whose image has a name that none may have is refused: %j',
    async (path) => {
      const { place, folder } = await changeDomain(/<source file='[^']*'/, `<source file='${path}'`);
      await using _place = place;
      await expect(place.restore({ folder, point: POINT })).rejects.toMatchObject({ code: 'BAD_NAME' });
      expect(await place.restored()).toEqual([]);
    },
  );

  test.each(['virtnbdrestore.lock', 'virtnbdrestore.trace.json', 'disk.partial'])(
    'gives no image a name that the restore needs: %s',
    async (name) => {
      const { place, folder } = await changeDomain(/<source file='[^']*'/, `<source file='/images/${name}'`);
      await using _place = place;
      await expect(place.restore({ folder, point: POINT })).rejects.toMatchObject({ code: 'NAME_CLASH' });
      expect(await place.restored()).toEqual([]);
    },
  );

  test('has no say in a backing file, in other options, or in where a data file lies', async () => {
    const { place, folder } = await changeImageInfo((info) => {
      info['backing-filename'] = '/etc/shadow';
      info['full-backing-filename'] = '/etc/shadow';
      info['cluster-size'] = '65536,backing_file=/etc/shadow';
      Object.assign(info['format-specific'].data, {
        compat: '1.1,encrypt.format=luks',
        'data-file': '/etc/../etc/passwd',
        'data-file-raw': true,
      });
    });
    await using _place = place;
    await place.restore({ folder, point: POINT });
    const info = await infoOf(join(place.target, 'disk.qcow2'));
    expect(info['backing-filename']).toBeUndefined();
    expect(info.data['data-file']).toBe(join(place.target, 'passwd'));
  });

  test('does not overwrite by a data file what is there', async () => {
    const { place, folder } = await changeImageInfo((info) =>
      Object.assign(info['format-specific'].data, { 'data-file': '/images/precious', 'data-file-raw': true }),
    );
    await using _place = place;
    await place.restore({ folder, point: 'virtnbdbackup.0' });
    await writeFile(join(place.target, 'precious'), 'precious');
    const again = place.restore({ folder, point: POINT });
    await expect(again).rejects.toMatchObject({ code: 'TARGET_EXISTS' });
    expect(await readFile(join(place.target, 'precious'), 'utf8')).toBe('precious');
  });

  test('with a disk of a size that no image can have is refused, and leaves nothing', async () => {
    const { place, folder } = await theirs(async (path) => {
      // As many digits, so that every frame stays where it is; and no checksum that would tell.
      const file = join(path, 'vda.full.data');
      const text = (await readFile(file)).toString('latin1');
      await writeFile(file, text.replace('"virtualSize": 16777216', '"virtualSize": 8.e+15 '.padEnd(23)), 'latin1');
      await writeFile(`${file}.chksum`, '1');
    });
    await using _place = place;
    await expect(place.restore({ folder, point: 'virtnbdbackup.0' })).rejects.toThrow();
    expect(await place.restored()).toEqual([]);
  });

  test('whose qcow.json is no JSON, or huge, is refused', async () => {
    for (const text of ['{', '[1]', `{"a": "${'x'.repeat(17 << 20)}"}`]) {
      const { place, folder } = await theirs((path) => writeFile(join(path, `vda.${POINT}.qcow.json`), text));
      await using _place = place;
      await expect(place.restore({ folder, point: POINT })).rejects.toThrow();
      expect(await place.restored()).toEqual([]);
    }
  });
});
