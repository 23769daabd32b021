import { join } from 'node:path';
import type { Host } from '@virtnbd/host';
import { host, KIB, MIB, makePoint, wholeDisk } from '@virtnbd/sample-sets';
import { requires } from '@virtnbd/test-kit';
import { describe, expect, test } from 'vitest';
import { failingHost, InjectedError } from './failing-host.ts';
import { bytesOf, notes, Place } from './support.ts';

const SIZE = 4 * MIB;

async function fullOf(dataBytes: number, disks: readonly string[] = ['vda']): Promise<Place> {
  const place = await Place.make();
  const frames = wholeDisk(SIZE, dataBytes, 0x11);
  await makePoint(place.backup, { number: 0, disks: disks.map((disk) => ({ disk, virtualSize: SIZE, frames })) });
  return place;
}

/** A host whose last server can be killed. */
function killingHost(): { host: Host; kill: () => void } {
  let pid: number | undefined;
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
  const kill = (): void => {
    if (pid === undefined) throw new Error('no server was started');
    process.kill(pid, 'SIGKILL');
  };
  return { host: watching, kill };
}

describe.skipIf(requires('qemu-img', 'qemu-nbd').skip)('a restore', () => {
  test('whose n-th call fails leaves no image, or is exact all the same, for every n', async () => {
    await using place = await fullOf(64 * KIB);
    const expected = Buffer.alloc(SIZE).fill(0x11, 0, 64 * KIB);
    let failures = 0;
    for (let n = 0; ; n++) {
      const failing = failingHost((call, name) => (call === n ? new InjectedError(`${name} fails`) : undefined));
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
    await expect(place.restore({ format: 'vmdk' }, { targetHost, onEvent })).rejects.toMatchObject({
      code: 'WRITE_FAILED',
      message: expect.stringContaining('vda.vmdk.partial could not be written'),
    });
    expect(await place.restored()).toEqual([]);
  });

  test.each(['qcow2', 'raw'] as const)('to %s starts no image server', async (format) => {
    await using place = await fullOf(3 * MIB);
    const serverless = failingHost((_, name) => (name === 'start' ? new InjectedError('no servers here') : undefined));
    const { images } = await place.restore({ format }, { targetHost: serverless.host });
    const expected = Buffer.alloc(SIZE).fill(0x11, 0, 3 * MIB);
    expect((await bytesOf(images[0]?.path ?? '', format)).equals(expected)).toBe(true);
  });

  test('that is told to end in mid-write leaves nothing', async () => {
    await using place = await fullOf(3 * MIB);
    const stop = new AbortController();
    const onEvent = ({ type }: { type: string }): void => {
      if (type === 'progress') stop.abort(new InjectedError('enough'));
    };
    await expect(place.restore({}, { signal: stop.signal, onEvent })).rejects.toThrow('enough');
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
    const restoring = place.restore({ jobs: 3, format: 'vmdk' }, { targetHost: failing });
    await expect(restoring).rejects.toThrow('no server for vdb');
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
