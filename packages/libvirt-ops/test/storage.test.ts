import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { requires, TestLibvirt } from '@virtnbd/test-kit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LibvirtConnection, parseVolume } from '../src/index.ts';

/** Longer than several messages of libvirt's. */
function longContent(): Buffer {
  return Buffer.from(Uint32Array.from({ length: 600_000 }, (_, i) => i).buffer);
}

describe.skipIf(requires('libvirt').skip)('a storage volume', () => {
  let libvirt: TestLibvirt;
  let connection: LibvirtConnection;
  let folder: string;

  beforeAll(async () => {
    libvirt = await TestLibvirt.start();
    connection = await LibvirtConnection.open(libvirt.uri);
    folder = join(libvirt.workFolder, 'pool');
    await mkdir(folder);
    await writeFile(join(folder, 'disk [1] ü.raw'), new Uint8Array(4096));
    await writeFile(join(folder, 'long'), longContent());
    const xml = join(libvirt.workFolder, 'pool.xml');
    await writeFile(xml, `<pool type='dir'><name>a pool</name><target><path>${folder}</path></target></pool>`);
    await libvirt.virsh('pool-define', xml);
    await libvirt.virsh('pool-start', 'a pool');
  });

  afterAll(async () => {
    await connection?.close();
    await libvirt?.stop();
  });

  test('is found by the names of pool and volume, and tells its path and kind', async () => {
    expect(await connection.volume('a pool', 'disk [1] ü.raw')).toEqual({
      name: 'disk [1] ü.raw',
      type: 'file',
      path: join(folder, 'disk [1] ü.raw'),
    });
  });

  test('is read by its path, in pieces and at one go, to its end', async () => {
    const path = join(folder, 'long');
    const whole = longContent();
    expect(Buffer.compare(await connection.readVolume(path, 0, 2 * whole.length), whole)).toBe(0);
    const piece = await connection.readVolume(path, 1_000_001, 500_000);
    expect(Buffer.compare(piece, whole.subarray(1_000_001, 1_500_001))).toBe(0);
    expect(await connection.readVolume(path, whole.length, 4096)).toHaveLength(0);
    await expect(connection.readVolume(join(folder, 'none'), 0, 1)).rejects.toMatchObject({ code: 'NO_STORAGE_VOL' });
    expect(await connection.isAlive()).toBe(true);
  });

  test('that is not there is told apart from a pool that is not there', async () => {
    await expect(connection.volume('a pool', 'none')).rejects.toMatchObject({ code: 'NO_STORAGE_VOL' });
    await expect(connection.volume('no pool', 'none')).rejects.toMatchObject({ code: 'NO_STORAGE_POOL' });
  });
});

test('volume XML without a path is refused', async () => {
  await expect(parseVolume('<volume><name>v</name></volume>')).rejects.toMatchObject({ code: 'BAD_XML' });
});
