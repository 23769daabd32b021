import { join } from 'node:path';
import type { Host } from '@virtnbd/host';
import { host, KIB, MIB, makePoint, wholeDisk } from '@virtnbd/sample-sets';
import { requires } from '@virtnbd/test-kit';
import { describe, expect, test } from 'vitest';
import { bytesOf, notes, Place } from './support.ts';

const SIZE = 4 * MIB;

async function fullOf(dataBytes: number, disks: readonly string[] = ['vda']): Promise<Place> {
  const place = await Place.make();
  const frames = wholeDisk(SIZE, dataBytes, 0x11);
  await makePoint(place.backup, { number: 0, disks: disks.map((disk) => ({ disk, virtualSize: SIZE, frames })) });
  return place;
}

class InjectedError extends Error {}

/** A host whose n-th call, of files or of programs, fails. */
function failingHost(at: number): { host: Host; calls: () => number } {
  let calls = 0;
  const failing = <T extends object>(object: T): T =>
    new Proxy(object, {
      get: (target, key) => {
        const value: unknown = Reflect.get(target, key);
        if (typeof value !== 'function') return typeof value === 'object' && value !== null ? failing(value) : value;
        return (...args: unknown[]): unknown => {
          // What takes things away again must be able to.
          const cleans = key === 'remove' || key === 'removeFolder' || key === 'isAlive' || key === 'identity';
          if (!cleans && calls++ === at) throw new InjectedError(`call ${at} (${String(key)}) fails`);
          return Reflect.apply(value, target, args);
        };
      },
    });
  return { host: failing(host), calls: () => calls };
}

/** A host that ends the n-th server that is started as soon as something was written. */
function killingHost(): { host: Host; kill: () => void } {
  let pid = 0;
  const watching = new Proxy(host, {
    get: (target, key) => {
      const start: Host['start'] = async (...args) => {
        const program = await target.start(...args);
        pid = program.pid;
        return program;
      };
      const value: unknown = key === 'start' ? start : Reflect.get(target, key);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  return { host: watching, kill: () => void process.kill(pid, 'SIGKILL') };
}

describe.skipIf(requires('qemu-img', 'qemu-nbd').skip)('a restore', () => {
  test('whose n-th call fails leaves no image, or is exact all the same, for every n', async () => {
    await using place = await fullOf(64 * KIB);
    const expected = Buffer.alloc(SIZE).fill(0x11, 0, 64 * KIB);
    let failures = 0;
    for (let n = 0; ; n++) {
      const failing = failingHost(n);
      const error = await place.restore({}, { targetHost: failing.host }).then(
        () => null,
        (reason: unknown) => reason,
      );
      const left = (await place.restored()).filter((name) => !name.startsWith('virtnbdrestore.'));
      if (error === null) {
        expect((await bytesOf(join(place.target, 'vda.qcow2'), 'qcow2')).equals(expected), `call ${n}`).toBe(true);
        for (const name of left) await host.files.remove(join(place.target, name));
      } else {
        failures++;
        expect(left, `after call ${n}`).toEqual([]);
      }
      if (failing.calls() <= n) break;
    }
    expect(failures).toBeGreaterThan(10);
  });

  test('whose image server dies says so, and leaves nothing', async () => {
    await using place = await fullOf(3 * MIB);
    const { host: targetHost, kill } = killingHost();
    const onEvent = ({ type }: { type: string }): void => {
      if (type === 'progress') kill();
    };
    await expect(place.restore({}, { targetHost, onEvent })).rejects.toMatchObject({
      code: 'WRITE_FAILED',
      message: expect.stringContaining('vda.qcow2.partial could not be written'),
    });
    expect(await place.restored()).toEqual([]);
  });

  test('of which one disk fails leaves none', async () => {
    await using place = await fullOf(MIB, ['vda', 'vdb', 'vdc']);
    const failing = new Proxy(host, {
      get: (target, key) => {
        const start: Host['start'] = async (program, args, options) => {
          if (args.some((arg) => arg.includes('vdb'))) throw new InjectedError('no server for vdb');
          return await target.start(program, args, options);
        };
        const value: unknown = key === 'start' ? start : Reflect.get(target, key);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    await expect(place.restore({ jobs: 3 }, { targetHost: failing })).rejects.toThrow('no server for vdb');
    expect(await place.restored()).toEqual([]);
  });

  test('clears away what a killed one has left, and nothing else', async () => {
    await using place = await fullOf(MIB);
    await host.files.makeFolder(place.target);
    const put = (name: string, text: string): Promise<void> => host.files.writeAtomic(join(place.target, name), text);
    await put('vda.qcow2.partial', 'half');
    await put('other.partial', "somebody else's");
    const trace = { format: 'virtnbd-restore-trace', version: 1, files: ['vda.qcow2.partial'] };
    await put('virtnbdrestore.trace.json', JSON.stringify(trace));
    const told = notes();
    await place.restore({}, told);
    expect(told.all).toEqual([expect.stringContaining('vda.qcow2.partial')]);
    expect(await place.restored()).toEqual(['other.partial', 'vda.qcow2', 'vmconfig.virtnbdbackup.0.xml']);
  });

  test.each([['../backup/vda.full.data'], ['vda.qcow2'], ['/etc/passwd.partial']])(
    'takes no name from a trace that it would not have put there: %s',
    async (name) => {
      await using place = await fullOf(MIB);
      await host.files.makeFolder(place.target);
      const trace = JSON.stringify({ format: 'virtnbd-restore-trace', version: 1, files: [name] });
      await host.files.writeAtomic(join(place.target, 'virtnbdrestore.trace.json'), trace);
      await expect(place.restore()).rejects.toMatchObject({ code: 'TARGET_BUSY' });
      expect(await host.files.stat(join(place.backup, 'vda.full.data'))).not.toBeNull();
    },
  );

  test('does not touch an unfinished file that it knows nothing of', async () => {
    await using place = await fullOf(MIB);
    await host.files.makeFolder(place.target);
    await host.files.writeAtomic(join(place.target, 'vda.qcow2.partial'), "somebody else's");
    await expect(place.restore()).rejects.toMatchObject({ code: 'TARGET_EXISTS' });
    expect(await place.restored()).toEqual(['vda.qcow2.partial']);
  });
});
