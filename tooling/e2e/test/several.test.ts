import { TestLibvirt, waitFor } from '@virtnbd/test-kit';
import { expect, test } from 'vitest';
import { start } from '../src/commands.ts';
import { Scenario } from '../src/scenario.ts';

const MIB = 1 << 20;

test('several VMs, with all that libvirt lets a name have, are saved at the same time into folders of their own', async () => {
  await using libvirt = await TestLibvirt.start();
  const names = [`a VM's "name" [1] & <more> ü漢`, '-x --raw', '$(touch x);`id`*?'];
  const scenarios: Scenario[] = [];
  try {
    for (const name of names) {
      const scenario = await Scenario.in(libvirt, [{ target: 'vda', size: '16M' }], { name });
      scenarios.push(scenario);
      await scenario.vm.write('vda', 0, MIB, scenarios.length);
      await scenario.keepReference('virtnbdbackup.0');
    }
    await Promise.all(scenarios.map((scenario) => scenario.backupOnly('full')));
    for (const scenario of scenarios) {
      await scenario.vm.write('vda', MIB, MIB, 0x44);
      await scenario.keepReference('virtnbdbackup.1');
    }
    await Promise.all(scenarios.map((scenario) => scenario.backupOnly('inc')));
    for (const scenario of scenarios) await scenario.expectAllPointsExact();
  } finally {
    for (const scenario of scenarios) await scenario[Symbol.asyncDispose]();
  }
});

test('a second run on the same VM is refused, and with --wait comes after the first', async () => {
  await using scenario = await Scenario.start([{ target: 'vda', size: '1G' }]);
  await scenario.vm.write('vda', 0, 256 * MIB, 0x11);
  await using other = await Scenario.copyOf(scenario);
  const first = start('virtnbdbackup', scenario.backupArgs('copy', '-v'), scenario.env);
  await waitFor(() => first.stderr().includes('step: copying'), { what: 'The first copy' });
  // Else it may be over before the others have begun.
  first.kill('SIGSTOP');
  const refused = await other.tryBackup('copy');
  expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('is held by process')]);
  const impatient = await other.tryBackup('copy', '--wait=0');
  expect(impatient.code).toBe(1);
  const second = start('virtnbdbackup', other.backupArgs('copy', '--wait'), other.env);
  await waitFor(() => second.stderr().includes('waiting for another run'), { what: 'The second run' });
  first.kill('SIGCONT');
  expect([(await second.ended).code, (await first.ended).code]).toEqual([0, 0]);
  expect([await scenario.points(), await other.points()]).toEqual([['copy'], ['copy']]);
});

test('qcow2 of version 2 is saved as a copy, and refused as a full with the command that converts it', async () => {
  await using scenario = await Scenario.start([
    { target: 'vda', size: '8M', createOptions: ['-o', 'compat=0.10'] },
    { target: 'vdb', size: '8M' },
  ]);
  await scenario.vm.write('vda', 0, MIB, 0x11);
  const { code, stderr } = await scenario.tryBackup('full');
  expect([code, stderr]).toEqual([1, expect.stringContaining('qemu-img amend')]);
  await scenario.backup('copy', 'copy');
  await scenario.expectAllPointsExact();
});
