import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { TestLibvirt, tempFolder } from '@virtnbd/test-kit';
import { expect, test } from 'vitest';

const execute = promisify(execFile);
const root = fileURLToPath(new URL('../../..', import.meta.url));

/**
 * The commands in the README's `sh` blocks, in order. Those of `console` blocks need what this test has not (a guest, another
 * host, a terminal) and are tested where that is.
 */
async function commands(): Promise<string[]> {
  const text = await readFile(`${root}README.md`, 'utf8');
  const blocks = [...text.matchAll(/^```sh\n(.*?)^```/gms)].map(([, block = '']) => block);
  return blocks.flatMap((block) => block.trim().split('\n'));
}

test('the commands of the README do what it says, one after the other', async () => {
  await using work = await tempFolder();
  await using libvirt = await TestLibvirt.start();
  const vm = await libvirt.createVm({ name: 'vm1', disks: [{ target: 'vda' }, { target: 'vdb' }] });
  await vm.write('vda', 0, 1 << 20, 0x11);
  const env = { ...process.env, LIBVIRT_DEFAULT_URI: libvirt.uri, HOME: work.path };
  const ours = (await commands()).filter((line) => line.startsWith('npx virtnbd'));
  expect(ours.length).toBeGreaterThanOrEqual(14);
  for (const line of ours) {
    const [program = '', ...args] = line.replaceAll(/ \/(backup|restore)\//g, ` ${work.path}/$1/`).split(' ');
    await execute(program, args, { cwd: root, env });
  }
});

test('the README names no other commands than those that are run: npm run demo, npm test, and ours', async () => {
  const others = (await commands()).filter((line) => !line.startsWith('npx virtnbd'));
  expect(others).toEqual(['npm run demo', 'npm test']);
  const { scripts } = JSON.parse(await readFile(`${root}package.json`, 'utf8'));
  expect(scripts).toMatchObject({ demo: 'node tooling/set-up/demo.mjs', test: 'node tooling/set-up/test.mjs' });
});

test('the demo ends with both points identical', async () => {
  const { stdout } = await execute(process.execPath, [`${root}tooling/demo/src/main.ts`], { maxBuffer: 1 << 26 });
  expect(stdout.match(/all \d+ MiB identical/g)).toHaveLength(2);
});
