import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { requires, run, startNbdkit, tempFolder } from '@virtnbd/test-kit';
import { describe, expect, test } from 'vitest';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const needed = requires('nbdkit', 'tar', 'npx');

/** The first example of the README, which reads a disk. */
async function readmeExample(): Promise<string> {
  const readme = await readFile(here('../README.md'), 'utf8');
  const [, code = ''] = /```ts\n([\s\S]*?)```/.exec(readme) ?? [];
  return code;
}

/** Puts a package into a folder as it would be published: what `pnpm pack` makes of it, and nothing else. */
async function install(source: string, target: string, name: string): Promise<void> {
  const packed = join(target, 'packed', name);
  const installed = join(target, 'node_modules', name);
  await mkdir(packed, { recursive: true });
  await mkdir(installed, { recursive: true });
  const { packageManager } = JSON.parse(await readFile(here('../../../package.json'), 'utf8'));
  await run('npx', ['--yes', packageManager, 'pack', '--pack-destination', packed], { cwd: source });
  const [tarball = ''] = await readdir(packed);
  await run('tar', ['xzf', join(packed, tarball), '-C', installed, '--strip-components=1']);
}

describe.skipIf(needed.skip)('the package alone', { timeout: 120_000 }, () => {
  test('from its tarball, in an empty folder, runs the example of the README against nbdkit', async () => {
    await using folder = await tempFolder();
    await install(here('..'), folder.path, '@virtnbd/nbd-client');
    await install(here('../../nbd-protocol'), folder.path, '@virtnbd/nbd-protocol');
    await using server = await startNbdkit(['sparse-random', 'size=32M', 'percent=10', 'runlength=65536', 'seed=3']);
    const example = (await readmeExample()).replace("'/run/nbd.sock'", JSON.stringify(server.socket));
    expect(example).toContain(server.socket);
    await writeFile(join(folder.path, 'example.mjs'), example);
    const { stdout } = await run(process.execPath, ['example.mjs'], { cwd: folder.path });
    const [, bytes] = /(\d+) bytes of data in 33554432/.exec(stdout) ?? [];
    expect(Number(bytes)).toBeGreaterThan(1024 * 1024);
    expect(Number(bytes)).toBeLessThan(16 * 1024 * 1024);
  });

  test('depends on nothing but the codec, by a version that can be installed', async () => {
    await using folder = await tempFolder();
    await install(here('..'), folder.path, '@virtnbd/nbd-client');
    const manifest = JSON.parse(
      await readFile(join(folder.path, 'node_modules/@virtnbd/nbd-client/package.json'), 'utf8'),
    );
    expect(Object.keys(manifest.dependencies)).toEqual(['@virtnbd/nbd-protocol']);
    expect(manifest.dependencies['@virtnbd/nbd-protocol']).toMatch(/^\^\d/);
  });
});
