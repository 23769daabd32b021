import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import {
  compareFiles,
  findLeftovers,
  isRunning,
  makeImage,
  Random,
  requires,
  run,
  seedFromEnvironment,
  sha256File,
  startNbdkit,
  startQemuNbd,
  tempFolder,
  waitFor,
  withSeed,
} from '../src/index.ts';

afterEach(() => vi.unstubAllEnvs());

describe('files', () => {
  test('compareFiles names the first byte that differs, also behind the first block', async () => {
    await using folder = await tempFolder();
    const [a, b] = [join(folder.path, 'a'), join(folder.path, 'b')];
    const bytes = Buffer.alloc(3 << 20);
    await writeFile(a, bytes);
    bytes[2_500_000] = 1;
    await writeFile(b, bytes);
    expect(await compareFiles(a, b)).toMatchObject({ identical: false, offset: 2_500_000 });
  });

  test('compareFiles tells a shorter file', async () => {
    await using folder = await tempFolder();
    const [a, b] = [join(folder.path, 'a'), join(folder.path, 'b')];
    await writeFile(a, Buffer.alloc(1 << 20));
    await writeFile(b, Buffer.alloc((1 << 20) + 1));
    expect(await compareFiles(a, b)).toMatchObject({ identical: false, offset: 1 << 20 });
    expect(await compareFiles(a, a)).toEqual({ identical: true, size: 1 << 20 });
  });

  test('sha256File gives the hash in hexadecimal', async () => {
    await using folder = await tempFolder();
    await writeFile(join(folder.path, 'abc'), 'abc');
    expect(await sha256File(join(folder.path, 'abc'))).toMatch(/^ba7816bf8f01cfea/);
  });

  test('a temporary folder goes with its scope, whatever is in it', async () => {
    let path: string;
    {
      await using folder = await tempFolder();
      path = folder.path;
      await mkdir(join(path, 'a/b'), { recursive: true });
    }
    expect(existsSync(path)).toBe(false);
  });
});

describe('random numbers', () => {
  test('repeat with the same seed and stay in their bounds', () => {
    const [a, b] = [new Random(42), new Random(42)];
    expect(Array.from({ length: 100 }, () => a.uint32())).toEqual(Array.from({ length: 100 }, () => b.uint32()));
    for (let i = 0; i < 1000; i++) {
      const { offset, length } = a.range(10_000, { alignment: 512, longest: 2048 });
      expect(offset % 512 === 0 && length % 512 === 0 && length > 0 && length <= 2048).toBe(true);
      expect(offset + length).toBeLessThanOrEqual(10_000);
      expect(a.integer(-3, 3)).toBeGreaterThanOrEqual(-3);
      expect(a.integer(-3, 3)).toBeLessThanOrEqual(3);
    }
    expect(a.bytes(13)).toHaveLength(13);
  });

  test('take their seed from VIRTNBD_SEED and name it on failure', async () => {
    vi.stubEnv('VIRTNBD_SEED', '17');
    expect(seedFromEnvironment()).toBe(17);
    const failing = withSeed(() => {
      throw new Error('wrong');
    });
    await expect(failing).rejects.toThrow('VIRTNBD_SEED=17 repeats this: wrong');
    vi.stubEnv('VIRTNBD_SEED', 'x');
    expect(() => seedFromEnvironment()).toThrow(RangeError);
  });
});

describe('requires', () => {
  test('skips with a reason what is missing', () => {
    vi.stubEnv('CI', '');
    expect(requires('no-such-program')).toEqual({ skip: true, reason: expect.stringContaining('no-such-program') });
  });

  test('throws where CI is set', () => {
    vi.stubEnv('CI', '1');
    expect(() => requires('no-such-program')).toThrow(expect.objectContaining({ code: 'COUNTERPART_MISSING' }));
  });
});

describe('NBD servers', () => {
  test.skipIf(requires('qemu-nbd', 'nbdinfo').skip)('qemu-nbd serves an image until it is stopped', async () => {
    await using folder = await tempFolder();
    const image = join(folder.path, 'image.qcow2');
    await makeImage(image, { size: '5M' });
    const server = await startQemuNbd(image, { format: 'qcow2', exportName: 'odd name [1]' });
    expect((await run('nbdinfo', ['--size', server.uri])).stdout.trim()).toBe(String(5 << 20));
    expect(await findLeftovers(null)).toEqual([]);
    await server.stop();
    expect(isRunning(server.pid)).toBe(false);
    expect(existsSync(server.socket)).toBe(false);
  });

  test.skipIf(requires('nbdkit', 'nbdinfo').skip)('nbdkit serves a plugin', async () => {
    await using server = await startNbdkit(['--filter=nozero', 'memory', '3M']);
    expect((await run('nbdinfo', ['--size', server.uri])).stdout.trim()).toBe(String(3 << 20));
  });

  test.skipIf(requires('qemu-nbd').skip)('a server that cannot start says why', async () => {
    await expect(startQemuNbd('/no/such/image')).rejects.toThrow(/No such file/);
  });
});

describe('leftovers', () => {
  test('are partial files and processes in the folders that were used', async () => {
    await using folder = await tempFolder();
    await writeFile(join(folder.path, 'vda.full.data.partial'), '');
    const follower = run('tail', ['-f', join(folder.path, 'vda.full.data.partial')]).catch(() => {});
    const found = await waitFor(async () => {
      const lines = await findLeftovers(null, { folders: [folder.path] });
      return lines.length === 2 ? lines : null;
    });
    expect(found[0]).toBe(`file: ${join(folder.path, 'vda.full.data.partial')}`);
    const pid = Number(/^process (\d+): /.exec(found[1] ?? '')?.[1]);
    process.kill(pid, 'SIGKILL');
    await follower;
  });
});
