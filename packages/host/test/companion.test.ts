import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { tempFolder, waitFor } from '@virtnbd/test-kit';
import { expect, test } from 'vitest';
import { type Companion, startCompanion } from '../src/companion.ts';
import { linesOf } from '../src/lines.ts';

const node = (program: string): Promise<Companion> => startCompanion(process.execPath, ['-e', program]);

test('a companion hears lines and answers', async () => {
  const companion = await node('process.stdin.on("data", (text) => process.stdout.write("heard " + text))');
  await companion.say('one');
  expect(await companion.hear()).toBe('heard one');
  companion.end();
  expect((await companion.exited).code).toBe(0);
  expect(await companion.hear()).toBeNull();
});

test('what is said to a companion that has ended is an error', async () => {
  const companion = await node('process.exit(3)');
  expect((await companion.exited).code).toBe(3);
  await expect(companion.say('anyone?')).rejects.toMatchObject({ code: 'PROGRAM_FAILED' });
});

test('a program that is not there is an error', async () => {
  await expect(startCompanion('/nonexistent/program', [])).rejects.toMatchObject({ code: 'PROGRAM_MISSING' });
});

// The parent is killed by SIGKILL, with the whole of its process group.
test('a companion lives on when its parent is killed, and sees its input end', async () => {
  await using folder = await tempFolder();
  const news = join(folder.path, 'news');
  const source = new URL('../src/companion.ts', import.meta.url).href;
  const child = `process.stdin.resume().on("end", () => fs.writeFileSync(${JSON.stringify(news)}, "alone"))`;
  const parent = spawn(
    process.execPath,
    [
      '--input-type=module',
      '-e',
      `import { startCompanion } from ${JSON.stringify(source)};
       const companion = await startCompanion(process.execPath, ['-e', ${JSON.stringify(child)}]);
       console.log(companion.pid); setInterval(() => {}, 1000);`,
    ],
    { detached: true, stdio: ['ignore', 'pipe', 'inherit'] },
  );
  await once(parent.stdout, 'data');
  process.kill(-(parent.pid ?? 0), 'SIGKILL');
  const read = async () => (await readFile(news, 'utf8').catch(() => '')) || null;
  expect(await waitFor(read, { what: 'What the companion does alone' })).toBe('alone');
});

test('lines are put together from pieces, across a character too', async () => {
  const bytes = Buffer.from('first\nzwölf\n\nno line');
  async function* pieces(): AsyncGenerator<Uint8Array> {
    for (const byte of bytes) yield Uint8Array.of(byte);
  }
  const lines: string[] = [];
  for await (const line of linesOf(pieces())) lines.push(line);
  expect(lines).toEqual(['first', 'zwölf', '']);
});
