import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { requires } from '@virtnbd/test-kit';
import { describe, expect, test } from 'vitest';
import { type HostIdentity, LocalHost } from '../src/index.ts';

const host = new LocalHost();

async function identityOf(pid: number): Promise<HostIdentity> {
  const line = await readFile(`/proc/${pid}/stat`, 'utf8');
  const startTime = Number(line.slice(line.lastIndexOf(')') + 2).split(' ')[19]);
  return { ...(await host.identity()), pid, startTime };
}

describe('identity', () => {
  test('is the same at each call and survives JSON', async () => {
    const identity = await host.identity();
    expect(identity.pid).toBe(process.pid);
    expect(identity.startTime).toBeGreaterThan(0);
    expect(await host.identity()).toEqual(JSON.parse(JSON.stringify(identity)));
  });
});

describe('isAlive', () => {
  test('is true for this process', async () => {
    expect(await host.isAlive(await host.identity())).toBe(true);
  });

  test('is true without the optional fields', async () => {
    const { hostname, bootId, pid, startTime } = await host.identity();
    expect(await host.isAlive({ hostname, bootId, pid, startTime })).toBe(true);
  });

  test('is true for a running process, false once it was killed', async () => {
    const child = spawn('sleep', ['600'], { stdio: 'ignore' });
    const identity = await identityOf(child.pid ?? 0);
    expect(await host.isAlive(identity)).toBe(true);
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(await host.isAlive(identity)).toBe(false);
  });

  test.skipIf(requires('python3').skip)('is false for a zombie', async () => {
    const script = `import os, sys, time
pid = os.fork()
if pid == 0: os._exit(0)
print(pid, flush=True); time.sleep(600)`;
    const child = spawn('python3', ['-c', script], { stdio: ['ignore', 'pipe', 'ignore'] });
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    const pid = Number(line.toString());
    while (!(await readFile(`/proc/${pid}/stat`, 'utf8')).includes(') Z ')) await sleep(5);
    expect(await host.isAlive(await identityOf(pid))).toBe(false);
    child.kill('SIGKILL');
    await once(child, 'exit');
  });

  test('is false when the pid was given to another process', async () => {
    const identity = await host.identity();
    expect(await host.isAlive({ ...identity, startTime: identity.startTime - 1 })).toBe(false);
  });

  test('is false after the system was started again', async () => {
    expect(await host.isAlive({ ...(await host.identity()), bootId: 'another' })).toBe(false);
  });

  test.each([
    ['host', { hostname: 'elsewhere' }],
    ['container', { pidNamespace: 'pid:[1]' }],
  ])('is unknown on another %s', async (_, other) => {
    expect(await host.isAlive({ ...(await host.identity()), machine: 'm', ...other })).toBe('unknown');
  });

  test('is unknown on another machine of the same name, where machines have an id', async () => {
    const self = await host.identity();
    const other = { ...self, machine: '0'.repeat(32), bootId: 'another' };
    expect(await host.isAlive(other)).toBe(self.machine === undefined ? false : 'unknown');
  });

  test.each([0, -1, 1.5, Number.NaN])('is unknown for the nonsense pid %d', async (pid) => {
    expect(await host.isAlive({ ...(await host.identity()), pid })).toBe('unknown');
  });

  test.skipIf(requires('python3').skip)(
    'reads the start time of a process whose name holds brackets and spaces',
    async () => {
      const named = spawn(
        'python3',
        [
          '-c',
          'import ctypes,time; ctypes.CDLL(None).prctl(15, b") R 1 (", 0, 0, 0); print("x", flush=True); time.sleep(600)',
        ],
        { stdio: ['ignore', 'pipe', 'ignore'] },
      );
      await once(named.stdout, 'data');
      expect(await host.isAlive(await identityOf(named.pid ?? 0))).toBe(true);
      named.kill('SIGKILL');
      await once(named, 'exit');
    },
  );
});
