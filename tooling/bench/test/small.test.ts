import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { requires } from '@virtnbd/test-kit';
import { expect, test } from 'vitest';

const script = fileURLToPath(new URL('../src/nbd.ts', import.meta.url));
const { skip } = requires('qemu-nbd', 'nbdcopy', 'nbdinfo', 'nbdkit', 'certtool');

test.skipIf(skip)(
  'the NBD measurements run, small, and print a ratio for each',
  () => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [script, '--small'], { encoding: 'utf8' });
    expect(status, stderr).toBe(0);
    expect(stdout).toMatch(/\d\.\d\d/);
  },
  240_000,
);
