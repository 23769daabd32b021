import { readdir } from 'node:fs/promises';
import {
  findLeftovers,
  requires,
  type SecondHost,
  type SshServer,
  startSecondHost,
  startSshServer,
  waitFor,
} from '@virtnbd/test-kit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { start } from '../src/commands.ts';
import { Scenario } from '../src/scenario.ts';

const MIB = 1 << 20;

describe.skipIf(requires('root', 'ip', 'sshd', 'nc').skip)('a hypervisor on another host', () => {
  let there: SecondHost;
  let server: SshServer;
  let scenario: Scenario;
  beforeAll(async () => {
    there = await startSecondHost();
    const { within, address } = there;
    server = await startSshServer({ within, address });
    scenario = await Scenario.start([{ target: 'vda', size: '256M' }], { daemon: { within } });
    scenario.connectThrough(server);
  });
  afterAll(async () => {
    await scenario?.[Symbol.asyncDispose]();
    await server?.stop();
    await there?.stop();
  });

  test('blocks come from its own address over TCP, with a warning, and through ssh without one', async () => {
    await using own = await Scenario.copyOf(scenario);
    own.connectThrough(server);
    await own.vm.write('vda', 0, 4 * MIB, 0x11);
    const { stderr } = await own.backup('full', 'virtnbdbackup.0', '--nbd-ip', there.address);
    expect(stderr).toContain(`unencrypted from ${there.address} port 10809`);
    await own.vm.write('vda', MIB, MIB, 0x22);
    const quiet = await own.backup('inc', 'virtnbdbackup.1');
    expect(quiet.stderr).not.toContain('WARNING');
    await own.expectAllPointsExact();
  });

  test('a link that is cut in mid-copy ends the run with a reason; when it stands again, the next one is exact', {
    timeout: 300_000,
  }, async () => {
    await using own = await Scenario.copyOf(scenario);
    own.connectThrough(server);
    await own.vm.write('vda', 0, 200 * MIB, 0x33);
    const command = start('virtnbdbackup', [...own.backupArgs('full'), '-v'], own.env);
    await waitFor(() => command.stderr().includes('step: copying'), { timeoutMs: 120_000 });
    await there.linkDown();
    const { code, stderr } = await command.ended;
    expect([code, stderr]).toEqual([1, expect.stringContaining('was lost')]);
    expect((await readdir(own.folder)).filter((name) => /data|partial|manifest/.test(name))).toEqual([]);
    await there.linkUp();
    await own.vm.write('vda', MIB, MIB, 0x44);
    await own.backup('full', 'virtnbdbackup.0');
    await own.expectAllPointsExact();
    expect(await findLeftovers(own.libvirt, { folders: [own.folder] })).toEqual([]);
  });
});
