import { expect, test } from 'vitest';
import { Scenario } from '../src/scenario.ts';

const MIB = 1 << 20;

test('a VM that is off is saved as a copy, whatever whole level was asked for', async () => {
  await using scenario = await Scenario.start([{ target: 'vda' }, { target: 'vdb', size: '8M' }]);
  await scenario.vm.write('vda', 0, 4 * MIB, 0x11);
  await scenario.vm.zero('vda', MIB, MIB, { unmap: true });
  await scenario.vm.destroy();
  expect(await scenario.newPoint('full')).toBe('copy');
  expect(await scenario.vm.checkpoints()).toEqual([]);
  await scenario.expectAllPointsExact();
});

test('increments of a VM that is off are differentials; the chain goes on exactly when it runs again', async () => {
  await using scenario = await Scenario.start();
  const { vm } = scenario;
  await vm.write('vda', 0, 4 * MIB, 0x11);
  await scenario.backup('full', 'virtnbdbackup.0');
  await vm.write('vda', MIB, MIB, 0x22);
  await vm.zero('vda', 3 * MIB, 65536, { unmap: true });
  await vm.destroy();
  const first = await scenario.newPoint('inc');
  const second = await scenario.newPoint('diff');
  expect([first, second]).toEqual([expect.stringMatching(/^\d+$/), expect.stringMatching(/^\d+$/)]);
  await vm.start();
  await vm.write('vda', 8 * MIB, MIB, 0x33);
  await scenario.backup('inc', 'virtnbdbackup.1');
  await scenario.expectAllPointsExact();
});

test('-p and -T go by what has changed also when the VM is off', async () => {
  await using scenario = await Scenario.start([{ target: 'vda' }, { target: 'vdb', size: '8M' }]);
  const { vm } = scenario;
  await vm.write('vda', 0, 16 * MIB, 0x11);
  await scenario.backupOnly('full');
  await vm.write('vda', 4 * MIB, MIB, 0x22);
  await vm.zero('vda', 0, MIB, { unmap: true });
  await vm.destroy();
  expect((await scenario.backupOnly('inc', '-p')).stdout).toBe(`${2 * MIB}\n`);
  const { stderr } = await scenario.backupOnly('inc', '-T', '4M');
  expect(stderr).toContain(`${2 * MIB} bytes have changed`);
  expect(await scenario.points()).toEqual(['virtnbdbackup.0']);
});

test('auto makes a copy of a VM that is off, a full once it runs, and increments from there', async () => {
  await using scenario = await Scenario.start();
  await scenario.vm.write('vda', 0, MIB, 0x11);
  await scenario.vm.destroy();
  expect(await scenario.newPoint('auto')).toBe('copy');
  await scenario.vm.start();
  await scenario.vm.write('vda', MIB, MIB, 0x22);
  expect(await scenario.newPoint('auto')).toBe('virtnbdbackup.0');
  await scenario.vm.write('vda', 2 * MIB, MIB, 0x33);
  expect(await scenario.newPoint('auto')).toBe('virtnbdbackup.1');
  await scenario.expectAllPointsExact();
});

test('increments of a VM that crashed save all of its disks, off or running, and the chain goes on', async () => {
  await using scenario = await Scenario.start([{ target: 'vda', size: '16M' }]);
  const { vm } = scenario;
  await vm.write('vda', 0, MIB, 0x11);
  await scenario.backup('full', 'virtnbdbackup.0');
  await vm.write('vda', 0, MIB, 0x22);
  await vm.crash();
  await scenario.newPoint('inc');
  await vm.start();
  await vm.write('vda', MIB, MIB, 0x33);
  await scenario.backup('inc', 'virtnbdbackup.1');
  await vm.write('vda', 2 * MIB, MIB, 0x44);
  await vm.destroy();
  await scenario.newPoint('inc');
  await vm.start();
  await vm.write('vda', 3 * MIB, MIB, 0x55);
  await scenario.backup('inc', 'virtnbdbackup.2');
  await scenario.expectAllPointsExact();
  const bases = (await scenario.manifests()).filter(({ disks }) => disks[0]?.base).map(({ level }) => level);
  expect(bases.sort()).toEqual(['diff', 'full', 'inc']);
});
