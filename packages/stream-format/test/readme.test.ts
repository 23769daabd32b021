import { existsSync } from 'node:fs';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { requires, run, sha256File, type TempFolder, tempFolder } from '@virtnbd/test-kit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const PACKAGE = join(import.meta.dirname, '..');
const PACKED = ['stream-format', 'checksums', 'lz4'];

/** The script of this name in the README. */
async function script(name: string): Promise<string> {
  const text = await readFile(join(PACKAGE, 'README.md'), 'utf8');
  const found = new RegExp(`\`\`\`js\\n(// ${name.replace('.', '\\.')}\\n[^]*?)\`\`\``).exec(text);
  return found?.[1] ?? '';
}

describe.skipIf(requires('npm', 'tar').skip)(
  'the scripts in the README, in an empty folder with the packed packages',
  () => {
    let folder: TempFolder;

    beforeAll(async () => {
      folder = await tempFolder();
      for (const name of PACKED) {
        const target = join(folder.path, 'node_modules/@virtnbd', name);
        await mkdir(target, { recursive: true });
        const args = ['pack', '--ignore-scripts', '--silent', '--pack-destination', folder.path];
        const { stdout } = await run('npm', args, { cwd: join(PACKAGE, '..', name) });
        await run('tar', ['-xzf', join(folder.path, stdout.trim()), '-C', target, '--strip-components=1']);
      }
      // What an install would bring from the registry.
      for (const name of ['koffi', 'lz4-napi']) {
        await symlink(packageFolder(name), join(folder.path, 'node_modules', name));
      }
      for (const name of ['dump.mjs', 'memory.mjs']) await writeFile(join(folder.path, name), await script(name));
    });
    afterAll(() => folder?.[Symbol.asyncDispose]());

    const node = async (...args: string[]) => (await run(process.execPath, args, { cwd: folder.path })).stdout;

    test.each([
      ['established-2.47/lz4-cut-frames', 'vda.copy.data', 'FAITHFUL.sha256'],
      ['established-2.47/plain-full-inc-inc-diff', 'vda.full.data', 'FAITHFUL.sha256'],
      ['established-1.9/lz4-full-inc', 'vda.full.data', 'EXPECTED.sha256'],
    ])('dump.mjs shows %s/%s and writes its disk', async (fixture, name, sums) => {
      const path = join(import.meta.dirname, 'fixtures', fixture);
      const image = join(folder.path, `${fixture.replace('/', '-')}.raw`);
      const [header = '', ...frames] = (await node('dump.mjs', join(path, name), image)).trim().split('\n');
      expect(JSON.parse(header)).toMatchObject({ diskName: 'vda', incremental: false });
      expect(frames[0]).toMatch(/^data 0 \d+$/);
      const line = (await readFile(join(path, sums), 'utf8')).split('\n').find((text) => text.includes(name));
      expect(await sha256File(image)).toBe(line?.split(' ')[0]);
    });

    test('dump.mjs names what is wrong with a file that is cut off', async () => {
      const path = join(import.meta.dirname, 'fixtures/established-2.47/interrupted-partial/vda.copy.data.partial');
      await expect(node('dump.mjs', path)).rejects.toThrow(/TRUNCATED/);
    });

    test('memory.mjs says hello', async () => {
      expect(await node('memory.mjs')).toBe('hello\n');
    });
  },
);

/** The folder of an installed package of `@virtnbd/lz4`. */
function packageFolder(name: string): string {
  let folder = dirname(createRequire(join(PACKAGE, '..', 'lz4', 'package.json')).resolve(name));
  while (!existsSync(join(folder, 'package.json')) || !folder.endsWith(name)) folder = dirname(folder);
  return folder;
}
