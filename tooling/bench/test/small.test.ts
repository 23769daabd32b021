import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { requires } from '@virtnbd/test-kit';
import { expect, test } from 'vitest';

const needs = {
  nbd: requires('qemu-nbd', 'nbdcopy', 'nbdinfo', 'nbdkit', 'certtool'),
  map: requires('nbdcopy', 'nbdkit', 'virtnbdbackup'),
  commands: requires('libvirt', 'qemu-nbd', 'nbdcopy', 'virtnbdbackup'),
};

for (const [name, { skip }] of Object.entries(needs)) {
  test.skipIf(skip)(
    `the measurements of ${name} run, small, and print a ratio for each`,
    () => {
      const script = fileURLToPath(new URL(`../src/${name}.ts`, import.meta.url));
      const { status, stdout, stderr } = spawnSync(process.execPath, [script, '--small'], { encoding: 'utf8' });
      expect(status, stderr).toBe(0);
      expect(stdout).toMatch(/\d\.\d\d/);
    },
    240_000,
  );
}
