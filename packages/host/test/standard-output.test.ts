import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const host = fileURLToPath(new URL('../src/index.ts', import.meta.url));

/** A program that has standard output as `out`, and all that it writes of `program`. */
function start(program: string): ChildProcess {
  const text = `import { openStandardOutput } from ${JSON.stringify(host)}; const out = await openStandardOutput(); ${program}`;
  return spawn(process.execPath, ['--input-type=module', '-e', text], { stdio: ['ignore', 'pipe', 'pipe'] });
}

test('what a reader has not taken does not keep a process that has given it up', async () => {
  const child = start(`
    const writing = out.write(new Uint8Array(8 << 20)).catch((error) => error.name);
    setTimeout(() => out.abandon(), 200);
    console.error(await writing);
  `);
  const said = child.stderr?.setEncoding('utf8').toArray();
  // Nobody reads its standard output.
  expect(await once(child, 'exit')).toEqual([0, null]);
  expect((await said)?.join('')).toContain('HostError');
  child.stdout?.destroy();
});

test('all that was written has left when it is finished, and the process ends', async () => {
  const child = start('await out.write(new Uint8Array(3 << 20)); await out.finish();');
  const chunks = (await child.stdout?.toArray()) as Buffer[];
  expect(Buffer.concat(chunks)).toHaveLength(3 << 20);
});

test('a reader that has ended is told of', async () => {
  const child = start(`
    for (;;) await out.write(new Uint8Array(1 << 20)).catch((error) => { console.error(error.code); process.exit(3); });
  `);
  child.stdout?.destroy();
  const said = child.stderr?.setEncoding('utf8').toArray();
  expect(await once(child, 'exit')).toEqual([3, null]);
  expect((await said)?.join('').trim()).toBe('PIPE_CLOSED');
});
