import { once } from 'node:events';
import { chmod, rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { pipeline } from 'node:stream';
import { findLeftovers, requires, type SshServer, startSshServer, waitFor } from '@virtnbd/test-kit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { run, start, succeed } from '../src/commands.ts';
import { type HeldLink, startHeldLink } from '../src/held-link.ts';
import { difference } from '../src/images.ts';
import { Scenario } from '../src/scenario.ts';

const MIB = 1 << 20;
/** What ssh lets be on its way on one connection, and something for all else that is said. */
const ONE_WINDOW = 2.5 * MIB;
const { skip } = requires('sshd', 'nc');

describe.skipIf(skip)('a hypervisor behind ssh', () => {
  let server: SshServer;
  let scenario: Scenario;
  beforeAll(async () => {
    server = await startSshServer();
    scenario = await Scenario.start([{ target: 'vda' }, { target: 'vdb', size: '8M' }]);
    scenario.connectThrough(server);
  });
  afterAll(async () => {
    await scenario?.[Symbol.asyncDispose]();
    await server?.stop();
  });

  const leftovers = (): Promise<string[]> => findLeftovers(scenario.libvirt, { folders: [scenario.folder] });

  test('full and increments come through the ssh connection, of a VM that runs and of one that is off, and restore exactly', async () => {
    await scenario.vm.write('vda', 0, 3 * MIB, 0x11);
    await scenario.backup('full', 'virtnbdbackup.0');
    await scenario.vm.write('vda', MIB, MIB, 0x22);
    await scenario.vm.zero('vda', 2 * MIB, 65536, { unmap: true });
    const { stderr } = await scenario.backup('inc', 'virtnbdbackup.1', '-z');
    expect(stderr).not.toContain('WARNING');
    await scenario.vm.destroy();
    await scenario.newPoint('inc');
    await scenario.vm.start();
    await scenario.expectAllPointsExact();
    expect(await leftovers()).toEqual([]);
  });

  test('over TCP to loopback it works without a warning, and --nbd-port chooses the port', async () => {
    await using fresh = await Scenario.copyOf(scenario);
    fresh.connectThrough(server);
    const { stderr } = await fresh.backup('copy', 'copy', '--nbd-ip', '127.0.0.1', '--nbd-port', '18809');
    expect(stderr).not.toContain('WARNING');
    await fresh.expectAllPointsExact();
    const open = await fresh.tryBackup('copy', '--nbd-ip', '0.0.0.0', '--nbd-port', '18809');
    expect(open.stderr).toContain('unencrypted from 0.0.0.0 port 18809');
  });

  test('an unknown host key stops it before anything is done, with the command that accepts it', async () => {
    await using other = await startSshServer();
    await rm(other.knownHosts);
    await using fresh = await Scenario.copyOf(scenario);
    fresh.connectThrough(other);
    const { code, stderr } = await fresh.tryBackup('copy');
    expect([code, stderr]).toEqual([1, expect.stringMatching(/does not know the host key.*accept it, with: ssh -p/)]);
    expect(await leftovers()).toEqual([]);
  });

  test('when the ssh connection dies in mid-copy the run says so, undoes what it did, and the next one is exact', async () => {
    await using fresh = await Scenario.copyOf(scenario);
    fresh.connectThrough(server);
    await fresh.vm.write('vda', 0, 16 * MIB, 0x33);
    const command = start('virtnbdbackup', [...fresh.backupArgs('full'), '-v'], fresh.env);
    await waitFor(() => command.stderr().includes('step: copying'), { timeoutMs: 60_000 });
    await server.cutConnections();
    const { code, stderr } = await command.ended;
    expect([code, stderr]).toEqual([1, expect.stringContaining('was lost')]);
    // The link stands again, so it was undone at once.
    expect([await fresh.vm.jobActive(), await fresh.vm.checkpoints()]).toEqual([false, []]);
    await fresh.vm.write('vda', MIB, MIB, 0x44);
    await fresh.backup('full', 'virtnbdbackup.0');
    await fresh.expectAllPointsExact();
    expect(await findLeftovers(fresh.libvirt, { folders: [fresh.folder] })).toEqual([]);
  });

  test('where answers need their time, more is on its way than one connection over ssh carries, there and back', async () => {
    await using live = await Scenario.copyOf(scenario);
    await using off = await Scenario.copyOf(scenario);
    const through = async (own: Scenario, work: (target: string) => Promise<unknown>): Promise<HeldLink> => {
      await using link = await startHeldLink(server, 4 * MIB);
      own.connectThrough({ ...server, port: link.port });
      await work(join(own.libvirt.workFolder, 'over a long way'));
      return link;
    };
    await live.vm.write('vda', 0, 48 * MIB, 0x66);
    const saved = await through(live, () => live.backup('copy', 'copy'));
    await live.vm.destroy();
    const savedOff = await through(off, () => off.backup('copy', 'copy'));
    await live.vm.start();
    const restored = await through(off, async (target) => {
      const uri = `${off.env.LIBVIRT_DEFAULT_URI}&no_tty=1`;
      await succeed('virtnbdrestore', ['-U', uri, '-i', off.folder, '-o', target, '-n'], off.env);
      expect(await difference(join(target, off.imageName('vda')), off.reference('copy', 'vda'))).toBeNull();
    });
    for (const bytes of [saved.fromServer, savedOff.fromServer, restored.toServer])
      expect(bytes).toBeGreaterThan(ONE_WINDOW);
    await live.expectAllPointsExact();
    await off.expectAllPointsExact();
    expect(await leftovers()).toEqual([]);
  });

  test('killed by SIGKILL in mid-copy, it leaves nothing that the next run does not clear away', async () => {
    await using fresh = await Scenario.copyOf(scenario);
    fresh.connectThrough(server);
    const command = start('virtnbdbackup', [...fresh.backupArgs('full'), '-v'], fresh.env);
    await waitFor(() => command.stderr().includes('step: job-begun'), { timeoutMs: 60_000 });
    command.kill('SIGKILL');
    await command.ended;
    await fresh.backup('full', 'virtnbdbackup.0');
    await fresh.expectAllPointsExact();
    expect(await findLeftovers(fresh.libvirt, { folders: [fresh.folder] })).toEqual([]);
  });

  test('what was backed up from one host is restored to another one, and defined there', async () => {
    // A hardened one: each program needs a connection of its own.
    await using elsewhere = await startSshServer({ maxSessions: 1 });
    await using fresh = await Scenario.copyOf(scenario);
    fresh.connectThrough(server);
    await fresh.vm.write('vda', 0, 2 * MIB, 0x55);
    await fresh.backup('copy', 'copy');
    fresh.connectThrough(elsewhere);
    const target = join(fresh.libvirt.workFolder, `restored on [another] 'host'`);
    const uri = `${fresh.env.LIBVIRT_DEFAULT_URI}&no_tty=1`;
    const args = ['-U', uri, '-i', fresh.folder, '-o', target, '-n', '-D', '-N', 'restored'];
    const { stderr } = await succeed('virtnbdrestore', args, fresh.env);
    expect(stderr).toContain('images are made on');
    for (const disk of ['vda', 'vdb']) {
      const image = join(target, fresh.imageName(disk));
      expect(await difference(image, fresh.reference('copy', disk))).toBeNull();
    }
    expect(await fresh.libvirt.virsh('domblklist', 'restored')).toContain(target);
    await fresh.libvirt.virsh('undefine', 'restored');
    expect(await findLeftovers(fresh.libvirt, { folders: [fresh.folder, target] })).toEqual([]);
  });

  test.skipIf(requires('root').skip)(
    'a user who may ask libvirt, but not open the socket of the job, is told what helps; nothing else is done unasked',
    async () => {
      await using stranger = await startSshServer({ stranger: true });
      await using fresh = await Scenario.copyOf(scenario);
      // As a group in libvirtd.conf would: the daemon is open to that user.
      const socket = join(fresh.work.path, 'libvirt.sock');
      const open = createServer((near) => {
        const far = connect(fresh.libvirtSocket);
        pipeline(near, far, near, () => undefined);
      }).listen(socket);
      await once(open, 'listening');
      await chmod(socket, 0o777);
      fresh.connectThrough(stranger, socket);
      const { code, stderr } = await fresh.tryBackup('full');
      expect([code, stderr]).toEqual([
        1,
        expect.stringMatching(/virtnbd-stranger@.* may not open .*--ssh-user.*--nbd-ip/),
      ]);
      expect([await fresh.vm.jobActive(), await fresh.vm.checkpoints(), await fresh.points()]).toEqual([false, [], []]);
      expect(await leftovers()).toEqual([]);
      await fresh.backup('copy', 'copy', '--nbd-ip', '127.0.0.1', '--nbd-port', '18809');
      await fresh.expectAllPointsExact();
      open.close();
    },
  );

  test('ssh options for a libvirt on this host are refused', async () => {
    const args = ['-U', scenario.libvirt.uri, '-d', 'x', '-o', join(scenario.work.path, 'x'), '--ssh-user', 'root'];
    const { code, stderr } = await run('virtnbdbackup', args, scenario.env);
    expect([code, stderr]).toEqual([1, expect.stringContaining('qemu+ssh://HOST')]);
  });
});
