import { truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { guestfsEnvironment, requires, run, tempFolder } from '../src/index.ts';

test.skipIf(requires('guest', 'guestfish').skip)(
  'libguestfs makes and reads a volume group with the appliance of the kit',
  async () => {
    await using folder = await tempFolder();
    const image = join(folder.path, 'lvm.raw');
    await writeFile(image, '');
    await truncate(image, 64 * 1024 * 1024);
    const script = [
      'run',
      'pvcreate /dev/sda',
      'vgcreate vg /dev/sda',
      'lvcreate data vg 16',
      'mkfs ext4 /dev/vg/data',
      'mount /dev/vg/data /',
      'write /file "from a volume"',
      'umount-all',
      'list-filesystems',
      'mount-ro /dev/vg/data /',
      'cat /file',
    ].join('\n');
    const { stdout } = await run('guestfish', ['--format=raw', '-a', image], {
      input: script,
      env: await guestfsEnvironment(),
      timeoutMs: 300_000,
    });
    expect(stdout).toBe('/dev/vg/data: ext4\nfrom a volume\n');
  },
  600_000,
);
