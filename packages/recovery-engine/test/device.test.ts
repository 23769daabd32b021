import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { host } from '@virtnbd/sample-sets';
import { requires, tempFolder } from '@virtnbd/test-kit';
import { describe, expect, test } from 'vitest';
import { attachDevice, connectArguments } from '../src/device/attach-device.ts';
import { chooseDevice } from '../src/device/nbd-devices.ts';

/** A folder like /sys/block: the kernel shows the process that serves a device in `pid`. */
async function blockDevices(folder: string, free: readonly string[], busy: readonly string[] = []): Promise<string> {
  for (const name of [...free, ...busy]) await mkdir(join(folder, name));
  for (const name of busy) await writeFile(join(folder, name, 'pid'), '1\n');
  return folder;
}

describe('chooseDevice', () => {
  test('takes the one that is asked for, or the first free one by number', async () => {
    await using folder = await tempFolder();
    const place = await blockDevices(folder.path, ['nbd10', 'nbd2', 'sda'], ['nbd0', 'nbd1']);
    expect(await chooseDevice(host, '/dev/nbd10', place)).toBe('/dev/nbd10');
    expect(await chooseDevice(host, 'auto', place)).toBe('/dev/nbd2');
  });

  test('refuses one that is in use, or that is none of the kernel', async () => {
    await using folder = await tempFolder();
    const place = await blockDevices(folder.path, ['sda'], ['nbd0']);
    for (const wanted of ['/dev/nbd0', 'auto']) {
      await expect(chooseDevice(host, wanted, place)).rejects.toMatchObject({ code: 'TARGET' });
    }
    for (const wanted of ['/dev/sda', '/dev/nbd7', 'nbd0', '/dev/nbd0/../sda']) {
      await expect(chooseDevice(host, wanted, place)).rejects.toMatchObject({ code: 'MISSING_TOOL' });
    }
  });

  test('says what to do where the kernel has none', async () => {
    await using folder = await tempFolder();
    const chosen = chooseDevice(host, 'auto', folder.path);
    await expect(chosen).rejects.toMatchObject({
      code: 'MISSING_TOOL',
      message: expect.stringContaining('modprobe nbd'),
    });
  });
});

test('qemu-nbd gets the device, the format and the export, and no permission to write that was not given', () => {
  const options = { uri: 'nbd+unix:///vda?socket=/s', device: '/dev/nbd3' };
  const writable = ['--connect=/dev/nbd3', '--format=raw', '--discard=unmap', 'nbd+unix:///vda?socket=/s'];
  expect(connectArguments({ ...options, readOnly: false })).toEqual(writable);
  expect(connectArguments({ ...options, readOnly: true })).toEqual([
    ...writable.slice(0, 3),
    '--read-only',
    ...writable.slice(3),
  ]);
});

test.skipIf(requires('qemu-nbd').skip)('what qemu-nbd says of a device that it cannot have is told', async () => {
  await using folder = await tempFolder();
  const place = await blockDevices(folder.path, ['nbd0']);
  const options = { uri: `nbd+unix:///?socket=${folder.path}/none`, device: join(folder.path, 'nbd0'), readOnly: true };
  await expect(attachDevice(host, options, place)).rejects.toMatchObject({
    code: 'ENDED',
    message: expect.stringContaining('qemu-nbd'),
  });
});
