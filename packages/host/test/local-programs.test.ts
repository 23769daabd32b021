import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { endingWithParent } from '../src/end-with-parent.ts';
import { LocalHost } from '../src/index.ts';
import { expectGone } from './expect-gone.ts';
import { tempFolder } from './temp.ts';

/* What only this machine's programs can be tried with; all that hosts have in common is in conformance/. */

const host = new LocalHost();
const node = process.execPath;

describe('a program that was started', () => {
  test('ends its programs when this process exits', async () => {
    const module = new URL('../src/index.ts', import.meta.url).href;
    const script = `const { LocalHost } = await import(${JSON.stringify(module)});
      const p = await new LocalHost().start('sleep', ['600']); console.log(p.pid); process.exit(0)`;
    const { stdout } = await host.run(node, ['--input-type=module', '-e', script]);
    await expectGone(Number(stdout));
  });

  test('ends its programs when this process is killed', async () => {
    const module = new URL('../src/index.ts', import.meta.url).href;
    const script = `const { LocalHost } = await import(${JSON.stringify(module)});
      const p = await new LocalHost().start('sleep', ['600']);
      process.stdout.write(String(p.pid), () => process.kill(process.pid, 'SIGKILL'))`;
    const child = spawn(node, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [pid] = await once(child.stdout, 'data');
    await once(child, 'exit');
    await expectGone(Number(pid));
  });

  test('is killed with this process where it is told to be, though it would not hear SIGTERM', async () => {
    const module = new URL('../src/index.ts', import.meta.url).href;
    const script = `const { LocalHost } = await import(${JSON.stringify(module)});
      const deaf = ['-c', 'trap "" TERM; touch "$0"; exec sleep 600', process.argv[1]];
      const p = await new LocalHost().start('sh', deaf, { killedWithParent: true });
      const { existsSync } = await import('node:fs');
      while (!existsSync(process.argv[1])) await new Promise((resolve) => setTimeout(resolve, 10));
      process.stdout.write(String(p.pid), () => process.kill(process.pid, 'SIGKILL'))`;
    const deaf = join(await tempFolder(), 'deaf');
    const child = spawn(node, ['--input-type=module', '-e', script, deaf], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [pid] = await once(child.stdout, 'data');
    await once(child, 'exit');
    await expectGone(Number(pid));
  });
});

test('a program whose starter died before it could be bound to it does not begin', async () => {
  const trace = join(await tempFolder(), 'began');
  const [program, args] = await endingWithParent('touch', [trace], 'TERM');
  // Another process is its parent here, as it would be then.
  const { stdout } = await host.run('/bin/sh', ['-c', '"$@"; echo "ended with $?"', 'sh', program, ...args]);
  expect([stdout, existsSync(trace)]).toEqual(['ended with 143\n', false]);
});

test('returns though a grandchild holds the output open', async () => {
  const { stdout } = await host.run('sh', ['-c', 'sleep 20 & echo $!']);
  process.kill(Number(stdout), 'SIGKILL');
});
