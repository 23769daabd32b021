import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { requires, run, tempFolder } from '@virtnbd/test-kit';
import { expect, test } from 'vitest';
import { pattern } from './memory-source.ts';

test.skipIf(requires('nbdcopy').skip)('the example of the README serves an image, and ends on SIGTERM', async () => {
  await using folder = await tempFolder();
  const [image, socket, copy] = ['image', 'nbd.sock', 'copy'].map((name) => join(folder.path, name));
  const readme = await readFile(new URL('../README.md', import.meta.url), 'utf8');
  const [, example = ''] = /^```ts\n(.*?)^```/ms.exec(readme) ?? [];
  const script = join(folder.path, 'example.mts');
  await writeFile(script, example.replace('@virtnbd/nbd-server', new URL('../src/index.ts', import.meta.url).href));
  await writeFile(String(image), pattern(3_000_000));
  const server = spawn(process.execPath, [script, String(image), String(socket)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(server, 'exit');
  try {
    const [line] = await Promise.race([once(server.stdout, 'data'), exited]);
    const uri = String(line).trim();
    expect(uri).toBe(`nbd+unix:///disk?socket=${socket}`);
    await run('nbdcopy', [uri, String(copy)]);
    expect((await readFile(String(copy))).equals(pattern(3_000_000))).toBe(true);
  } finally {
    server.kill('SIGTERM');
  }
  const [code] = await exited;
  expect(code).toBe(0);
  expect(await stat(String(socket)).catch(() => null)).toBe(null);
});
