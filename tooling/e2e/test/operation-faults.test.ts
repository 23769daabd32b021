import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { runBackup } from '@virtnbd/backup-engine';
import { LocalHost } from '@virtnbd/host';
import { LibvirtConnection } from '@virtnbd/libvirt-ops';
import { giveToDaemon, requires, waitFor } from '@virtnbd/test-kit';
import { expect, test } from 'vitest';
import { start } from '../src/commands.ts';
import { Scenario } from '../src/scenario.ts';

const execute = promisify(execFile);
const MIB = 1 << 20;

/** Changes one byte in the middle of a file, at once. */
function damage(path: string): void {
  const bytes = readFileSync(path);
  const at = Math.floor(bytes.length / 2);
  bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
  writeFileSync(path, bytes);
}

test('a backup that would not come back as it was is found by the proof: no point, and nothing is lost', async () => {
  await using scenario = await Scenario.start();
  await scenario.vm.write('vda', 0, 4 * MIB, 0x11);
  await scenario.backup('full', 'virtnbdbackup.0');
  await scenario.vm.write('vda', 0, 2 * MIB, 0x22);
  const host = new LocalHost();
  const partial = join(scenario.folder, 'vda.inc.virtnbdbackup.1.data.partial');
  const running = runBackup(
    { domain: scenario.vm.name, level: 'inc', folder: scenario.folder, prove: 100 },
    {
      host,
      hypervisor: host,
      connect: () => LibvirtConnection.open(scenario.libvirt.uri),
      writer: { name: 'test', version: '0.0.0' },
      onEvent: (event) => {
        if (event.type === 'disk-done') damage(partial);
      },
    },
  );
  await expect(running).rejects.toMatchObject({ code: 'PROOF_FAILED', disk: 'vda' });
  expect(await scenario.vm.checkpoints()).toEqual(['virtnbdbackup.0']);
  expect(await scenario.vm.jobActive()).toBe(false);
  expect((await readdir(scenario.folder)).filter((name) => /partial|intent|inc/.test(name))).toEqual([]);
  await scenario.backup('inc', 'virtnbdbackup.1', '--prove');
  await scenario.expectAllPointsExact();
});

test('a libvirtd that restarts while the disks are copied costs nothing: the job is ended by a new connection', async () => {
  await using scenario = await Scenario.start();
  await scenario.vm.write('vda', 0, 24 * MIB, 0x11);
  await scenario.keepReference('virtnbdbackup.0');
  const command = start('virtnbdbackup', scenario.backupArgs('full', '--bwlimit', '4M'), scenario.env);
  await waitFor(() => command.stderr().includes('to save'), { what: 'The copy' });
  await scenario.libvirt.restartDaemon();
  const { code, stderr } = await command.ended;
  expect(code, stderr).toBe(0);
  expect(await scenario.vm.jobActive()).toBe(false);
  await scenario.expectAllPointsExact();
  await scenario.backup('inc', 'virtnbdbackup.1');
});

test('a qemu that hangs while its disks are copied ends the backup, which is taken back when it goes on', async () => {
  await using scenario = await Scenario.start();
  await scenario.vm.write('vda', 0, 8 * MIB, 0x11);
  await scenario.backup('full', 'virtnbdbackup.0');
  await scenario.vm.write('vda', 0, 8 * MIB, 0x22);
  const qemu = await scenario.vm.pid();
  const host = new LocalHost();
  let hangs = false;
  const running = runBackup(
    { domain: scenario.vm.name, level: 'inc', folder: scenario.folder, bytesPerSecond: 4 * MIB, nbdIdleMs: 300 },
    {
      host,
      hypervisor: host,
      connect: () => LibvirtConnection.open(scenario.libvirt.uri),
      writer: { name: 'test', version: '0.0.0' },
      onEvent: (event) => {
        if (event.type === 'progress' && !hangs) {
          hangs = true;
          process.kill(qemu, 'SIGSTOP');
        }
        if (event.type === 'info' && event.message.includes('taken back')) process.kill(qemu, 'SIGCONT');
      },
    },
  );
  await expect(running).rejects.toMatchObject({
    code: 'COPY_FAILED',
    disk: 'vda',
    message: expect.stringContaining('300 ms'),
  });
  expect(await scenario.vm.checkpoints()).toEqual(['virtnbdbackup.0']);
  expect(await scenario.vm.jobActive()).toBe(false);
  expect((await readdir(scenario.folder)).filter((name) => /partial|intent|inc/.test(name))).toEqual([]);
  await scenario.backup('inc', 'virtnbdbackup.1');
  await scenario.expectAllPointsExact();
});

test('a scratch file system that fills up ends the backup before the guest has an error', async (context) => {
  context.skip(requires('root').skip, 'mounting a small file system needs root');
  await using scenario = await Scenario.start();
  const scratch = join(scenario.work.path, 'scratch');
  await mkdir(scratch);
  await execute('mount', ['-t', 'tmpfs', '-o', 'size=160m,mode=777', 'tmpfs', scratch]);
  try {
    await giveToDaemon(scratch);
    await scenario.vm.write('vda', 0, 24 * MIB, 0x11);
    const args = scenario.backupArgs('full', '--scratchdir', scratch, '--bwlimit', '2M');
    const command = start('virtnbdbackup', args, scenario.env);
    await waitFor(() => command.stderr().includes('to save'), { what: 'The copy' });
    // As a guest would that writes much: what it overwrites goes to the scratch file.
    await execute('fallocate', ['-l', '100M', join(scratch, 'what the guest overwrites')]);
    const { code, stderr } = await command.ended;
    expect(code).toBe(1);
    expect(stderr).toContain('--scratchdir');
    expect(await scenario.vm.jobActive()).toBe(false);
    expect(await scenario.vm.checkpoints()).toEqual([]);
    const refused = await scenario.tryBackup('full', '--scratchdir', scratch);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('--force')]);
  } finally {
    await execute('umount', [scratch]);
  }
});
