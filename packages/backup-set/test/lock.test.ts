import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Host, HostIdentity } from '@virtnbd/host';
import { describe, expect, test } from 'vitest';
import { FileLock, SetLock, VmLock } from '../src/index.ts';
import { domain, failingHost, host, tempFolder } from './support.ts';

/** The identity of a process that has ended. */
async function deadIdentity(): Promise<HostIdentity> {
  const child = spawn('true');
  const { pid } = child;
  await once(child, 'exit');
  return { ...(await host.identity()), pid: pid ?? 1, startTime: 1 };
}

async function writeLock(path: string, owner: HostIdentity, token = 'a'.repeat(32)): Promise<void> {
  const since = '2026-11-23T10:00:00.000Z';
  await writeFile(path, JSON.stringify({ format: 'virtnbd-lock', version: 1, host: owner, since, token }));
}

const lockPath = (folder: string): string => join(folder, 'virtnbd.lock');

describe('the lock', () => {
  test('it is held by one, and free again after', async () => {
    const folder = await tempFolder();
    const lock = await SetLock.acquire(host, folder);
    await expect(SetLock.acquire(host, folder)).rejects.toMatchObject({ code: 'LOCKED' });
    await lock.release();
    await lock.release();
    expect(await readdir(folder)).toEqual([]);
    await using again = await SetLock.acquire(host, folder);
    expect(again.takenOver).toBe(false);
  });

  test('a folder and a VM are locked apart', async () => {
    const folder = await tempFolder();
    await using _set = await SetLock.acquire(host, folder);
    await using vm = await VmLock.acquire(host, folder, domain.uuid);
    expect(vm.path).toBe(join(folder, `virtnbd.vm.${domain.uuid}.lock`));
    await expect(VmLock.acquire(host, folder, '../x')).rejects.toMatchObject({ code: 'BAD_NAME' });
  });

  test('the lock of a dead process is taken over', async () => {
    const folder = await tempFolder();
    await writeLock(lockPath(folder), await deadIdentity());
    const lock = await SetLock.acquire(host, folder);
    expect(lock.takenOver).toBe(true);
    expect(await readdir(folder)).toEqual(['virtnbd.lock']);
    await lock.release();
    expect(await readdir(folder)).toEqual([]);
  });

  test('the lock of an earlier boot is taken over', async () => {
    const folder = await tempFolder();
    await writeLock(lockPath(folder), { ...(await host.identity()), bootId: 'another' });
    expect((await SetLock.acquire(host, folder)).takenOver).toBe(true);
  });

  test('of a lock of another host it says who, since when and what to do', async () => {
    const folder = await tempFolder();
    await writeLock(lockPath(folder), { hostname: 'elsewhere', bootId: 'x', pid: 4711, startTime: 5 });
    const refused = expect(SetLock.acquire(host, folder)).rejects;
    await refused.toMatchObject({ code: 'LOCKED' });
    await refused.toThrow(/4711 on host elsewhere since 2026-11-23T10:00:00.000Z.*remove the file only if/);
  });

  test.each(['', '{', '{"format":"x"}', 'x'.repeat(20_000)])('a damaged lock is refused: %.20j', async (text) => {
    const folder = await tempFolder();
    await writeFile(lockPath(folder), text);
    await expect(SetLock.acquire(host, folder)).rejects.toMatchObject({ code: 'LOCK_DAMAGED' });
    expect(await readFile(lockPath(folder), 'utf8')).toBe(text);
  });

  test('a lock that was taken away is not removed at release', async () => {
    const folder = await tempFolder();
    const lock = await SetLock.acquire(host, folder);
    await writeLock(lockPath(folder), await host.identity());
    await expect(lock.release()).rejects.toMatchObject({ code: 'LOCK_LOST' });
    expect(await readdir(folder)).toEqual(['virtnbd.lock']);
  });

  test('of many who find a stale lock at once exactly one gets it', async () => {
    for (let round = 0; round < 20; round++) {
      const folder = await tempFolder();
      await writeLock(lockPath(folder), await deadIdentity());
      const results = await Promise.allSettled(
        Array.from({ length: 6 }, () => SetLock.acquire(slowHost(round), folder)),
      );
      const won = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
      expect(won).toHaveLength(1);
      expect(await readFile(lockPath(folder), 'utf8')).toContain(won[0]?.owner.token);
      for (const result of results)
        if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'LOCKED' });
    }
  });

  test('while holders come and go there is never more than one', async () => {
    const folder = await tempFolder();
    await writeLock(lockPath(folder), await deadIdentity());
    let holders = 0;
    let most = 0;
    const worker = async (seed: number): Promise<void> => {
      for (let tries = 0, done = 0; done < 3 && tries < 2000; tries++) {
        const lock = await SetLock.acquire(slowHost(seed), folder).catch(() => null);
        if (lock === null) continue;
        most = Math.max(most, ++holders);
        await new Promise((resolve) => setImmediate(resolve));
        holders--;
        await lock.release();
        done++;
      }
    };
    await Promise.all([1, 2, 3, 4].map(worker));
    expect(most).toBe(1);
    expect((await readdir(folder)).filter((name) => name === 'virtnbd.lock')).toEqual([]);
  });

  test('a taker that dies at any call leaves a lock that the next one gets', async () => {
    for (let at = 0; ; at++) {
      const folder = await tempFolder();
      const path = lockPath(folder);
      await writeLock(path, await deadIdentity());
      const dying = failingHost(at, 'killed');
      // The taker is another process, dead by the time that anyone asks.
      const identity = { ...(await deadIdentity()), startTime: 2 };
      const taker: Host = { ...dying.host, identity: async () => identity };
      const died = await FileLock.acquire(taker, path).then(
        () => false,
        () => true,
      );
      const next = await FileLock.acquire(host, path);
      expect(next.takenOver).toBe(true);
      await next.release();
      expect(await readdir(folder)).toEqual([]);
      if (!died) break;
    }
  });

  test('a call that fails leaves no lock behind that keeps others out', async () => {
    for (const failure of ['before', 'after'] as const) {
      for (const stale of [true, false]) {
        for (let at = 0; ; at++) {
          const folder = await tempFolder();
          if (stale) await writeLock(lockPath(folder), await deadIdentity());
          const failing = failingHost(at, failure);
          const failed = await SetLock.acquire(failing.host, folder).then(
            async (lock) => {
              await lock
                .release()
                .catch(() => lock.release())
                .catch(() => undefined);
              return false;
            },
            () => true,
          );
          const next = await SetLock.acquire(host, folder).catch(() => null);
          expect(next, `${failure} ${stale} ${at}`).not.toBeNull();
          await next?.release();
          if (!failed && failing.calls() <= at) break;
        }
      }
    }
  });

  test('an abort is heard', async () => {
    const folder = await tempFolder();
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(SetLock.acquire(host, folder, { signal })).rejects.toThrow('enough');
  });
});

/** Waits a little, differently each time, before every call: so that the takers overlap in many ways. */
function slowHost(seed: number): Host {
  let state = seed + 1;
  const turn = async (): Promise<void> => {
    state = (state * 1103515245 + 12345) % 2147483648;
    for (let wait = state % 5; wait > 0; wait--) await new Promise((resolve) => setImmediate(resolve));
  };
  const { files } = host;
  return {
    files: {
      ...failingHost(-1, 'before').host.files,
      list: (path) => turn().then(() => files.list(path)),
      remove: (path) => turn().then(() => files.remove(path)),
      readSmall: (path, limit) => turn().then(() => files.readSmall(path, limit)),
      writeAtomic: (path, data, options) => turn().then(() => files.writeAtomic(path, data, options)),
      createExclusive: (path, data) => turn().then(() => files.createExclusive(path, data)),
    },
    run: (...args) => host.run(...args),
    start: (...args) => host.start(...args),
    waitForSocket: (...args) => host.waitForSocket(...args),
    name: host.name,
    route: (path) => host.route(path),
    identity: () => host.identity(),
    isAlive: (other) => host.isAlive(other),
  };
}
