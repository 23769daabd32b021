import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const BUILT = new URL('../dist/index.js', import.meta.url);

test.skipIf(!existsSync(BUILT) && !process.env.CI)('the built package finds its worker file', async () => {
  const script = `
    import { LibvirtConnection } from ${JSON.stringify(BUILT.href)};
    await using connection = await LibvirtConnection.open('test:///default');
    console.log((await connection.lookup('test')).state);`;
  const result = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script]);
  expect(result).toEqual({ stdout: 'running\n', stderr: '' });
});
