import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';

test('the threads of the pool become nicer than the main thread, which stays as it is', () => {
  const script = `
    import { readdirSync, readFileSync } from 'node:fs';
    import { yieldPoolThreads } from ${JSON.stringify(join(import.meta.dirname, '../src/pool-priority.ts'))};
    const nicenesses = () => readdirSync('/proc/self/task').map((thread) => {
      const stat = readFileSync('/proc/self/task/' + thread + '/stat', 'utf8');
      return { main: Number(thread) === process.pid, pool: stat.includes('(libuv-worker)'), nice: Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16]) };
    });
    await yieldPoolThreads();
    await yieldPoolThreads();
    console.log(JSON.stringify(nicenesses()));
  `;
  const threads: { main: boolean; pool: boolean; nice: number }[] = JSON.parse(
    execFileSync('nice', ['-n', '3', process.execPath, '--input-type=module', '-e', script], { encoding: 'utf8' }),
  );
  expect(threads.filter(({ main }) => main).map(({ nice }) => nice)).toEqual([3]);
  expect(threads.filter(({ pool }) => pool).map(({ nice }) => nice)).toEqual([8, 8, 8, 8]);
});
