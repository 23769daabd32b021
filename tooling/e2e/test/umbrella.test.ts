import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { run, succeed } from '../src/commands.ts';
import { Scenario } from '../src/scenario.ts';

const MIB = 1 << 20;

test('virtnbd backs up, verifies, inspects and compares what it has made, and finds a damaged byte', async () => {
  await using scenario = await Scenario.start();
  const { vm, env, folder } = scenario;
  await vm.write('vda', 0, 4 * MIB, 0x11);
  await succeed('virtnbd', ['backup', ...scenario.backupArgs('full', '-z')], env);
  await vm.write('vda', MIB, MIB, 0x22);
  await vm.zero('vda', 3 * MIB, 65536, { unmap: true });
  await succeed('virtnbd', ['backup', ...scenario.backupArgs('inc')], env);

  await succeed('virtnbd', ['verify', folder, '--deep', '-n'], env);
  const described = JSON.parse((await succeed('virtnbd', ['inspect', folder, '--json'], env)).stdout);
  expect(described.points.map(({ id }: { id: string }) => id)).toEqual(['virtnbdbackup.0', 'virtnbdbackup.1']);
  const compare = ['diff', folder, 'virtnbdbackup.0', 'virtnbdbackup.1', '--content'];
  const { stdout } = await succeed('virtnbd', compare, env);
  expect(stdout).toContain(String(MIB));

  await using file = await open(join(folder, 'vda.inc.virtnbdbackup.1.data'), 'r+');
  await file.write(Buffer.from('x'), 0, 1, 600_000);
  const damaged = await run('virtnbd', ['verify', folder, '-n'], env);
  expect([damaged.code, damaged.stdout]).toEqual([1, expect.stringContaining('virtnbdbackup.1')]);
});
