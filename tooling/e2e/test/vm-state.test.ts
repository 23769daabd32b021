import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { waitFor } from '@virtnbd/test-kit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Scenario } from '../src/scenario.ts';

const execute = promisify(execFile);
const MIB = 1 << 20;
const driver = fileURLToPath(new URL('../src/run-and-die.ts', import.meta.url));

/** Runs a backup with these further parts of a request that kills itself at `step`. */
async function killedBackup(scenario: Scenario, level: string, step: string, request: object): Promise<void> {
  const { vm, folder, libvirt } = scenario;
  const args = [driver, step, level, vm.name, folder, libvirt.uri, JSON.stringify(request)];
  await expect(execute(process.execPath, args)).rejects.toMatchObject({ signal: 'SIGKILL' });
}

describe('a VM that is off, with -S', () => {
  let scenario: Scenario;

  beforeAll(async () => {
    scenario = await Scenario.start([{ target: 'vda', size: '16M' }]);
    await scenario.vm.write('vda', 0, MIB, 0x11);
    await scenario.vm.destroy();
  });

  afterAll(async () => {
    await scenario?.[Symbol.asyncDispose]();
  });

  test('has a full with a checkpoint, increments, and is off afterwards', async () => {
    await scenario.backup('full', 'virtnbdbackup.0', '-S');
    expect(await scenario.vm.state()).toBe('shutoff');
    await scenario.vm.start();
    await scenario.vm.write('vda', MIB, MIB, 0x22);
    await scenario.vm.destroy();
    await scenario.backup('inc', 'virtnbdbackup.1', '--start-domain');
    expect([await scenario.vm.state(), await scenario.vm.checkpoints()]).toEqual([
      'shutoff',
      ['virtnbdbackup.0', 'virtnbdbackup.1'],
    ]);
    await scenario.expectAllPointsExact();
  });

  test.each(['old-chain-removed', 'job-begun', 'copying', 'committed'])(
    'is ended by the next run when one is killed at «%s»',
    async (step) => {
      await using fresh = await Scenario.copyOf(scenario);
      await killedBackup(fresh, 'full', step, { startDomain: true });
      expect(await fresh.vm.state()).toBe('paused');
      if (step === 'committed') await fresh.newPoint('diff');
      else await fresh.backup('full', 'virtnbdbackup.0', '-S');
      expect(await fresh.vm.state()).toBe('shutoff');
      await fresh.expectAllPointsExact();
    },
  );

  test('is rid of the checkpoint of a run that was killed before it was shut down', async () => {
    await using fresh = await Scenario.copyOf(scenario);
    await fresh.vm.start();
    await fresh.backup('full', 'virtnbdbackup.0');
    await fresh.vm.write('vda', MIB, MIB, 0x33);
    await killedBackup(fresh, 'inc', 'copying', {});
    await fresh.vm.write('vda', 2 * MIB, MIB, 0x44);
    await fresh.vm.virsh('domjobabort');
    expect((await fresh.backupOnly('inc', '-p')).stdout).toBe(`${2 * MIB}\n`);
    await fresh.vm.destroy();
    await fresh.newPoint('diff');
    await fresh.backup('inc', 'virtnbdbackup.1', '-S');
    expect([await fresh.vm.state(), await fresh.vm.checkpoints()]).toEqual([
      'shutoff',
      ['virtnbdbackup.0', 'virtnbdbackup.1'],
    ]);
    await fresh.expectAllPointsExact();
  });

  test('is left to whoever lets it run meanwhile', async () => {
    await using fresh = await Scenario.copyOf(scenario);
    await killedBackup(fresh, 'full', 'copying', { startDomain: true });
    await fresh.vm.resume();
    await fresh.backupOnly('full');
    expect(await fresh.vm.state()).toBe('running');
    await fresh.vm.destroy();
  });

  test('is off, and has no new checkpoint, when the backup fails', async () => {
    await using fresh = await Scenario.copyOf(scenario);
    const before = await fresh.vm.checkpoints();
    const { code } = await fresh.tryBackup('full', '-S', '--scratchdir', '/proc');
    expect([code, await fresh.vm.state(), await fresh.vm.checkpoints()]).toEqual([1, 'shutoff', before]);
  });
});

describe('a VM that runs, with --pause', () => {
  let scenario: Scenario;

  beforeAll(async () => {
    scenario = await Scenario.start([{ target: 'vda', size: '16M' }]);
    await scenario.vm.write('vda', 0, MIB, 0x11);
    await scenario.vm.resume();
  });

  afterAll(async () => {
    await scenario?.[Symbol.asyncDispose]();
  });

  test('goes on after the job has begun', async () => {
    const { stderr } = await scenario.backup('full', 'virtnbdbackup.0', '--pause');
    expect(stderr).toMatch(/the VM was paused for \d+ ms/);
    expect(await scenario.vm.state()).toBe('running');
    await scenario.expectAllPointsExact();
  });

  test('goes on when the job cannot begin', async () => {
    await using fresh = await Scenario.copyOf(scenario);
    const { code } = await fresh.tryBackup('copy', '--pause', '--scratchdir', '/proc');
    expect([code, await scenario.vm.state()]).toEqual([1, 'running']);
  });

  test('goes on when the run is killed, and by the next run where the watchdog could not see to it', async () => {
    await using fresh = await Scenario.copyOf(scenario);
    await killedBackup(fresh, 'copy', 'the VM is paused', { pause: true });
    await waitFor(async () => (await scenario.vm.state()) === 'running', { what: 'The watchdog' });
    await scenario.vm.suspend();
    await fresh.backupOnly('copy');
    expect(await scenario.vm.state()).toBe('running');
  });

  test('that somebody has paused stays paused', async () => {
    await scenario.vm.suspend();
    await using fresh = await Scenario.copyOf(scenario);
    await fresh.backupOnly('copy', '--pause');
    expect(await scenario.vm.state()).toBe('paused');
  });
});
