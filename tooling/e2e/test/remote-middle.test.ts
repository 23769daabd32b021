import { copyFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type Certificates,
  findLeftovers,
  freePort,
  giveToDaemon,
  makeCertificates,
  requires,
  type SecondHost,
  type SshServer,
  startNbdkit,
  startSecondHost,
  startSshServer,
} from '@virtnbd/test-kit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startLink } from '../src/link.ts';
import { Scenario } from '../src/scenario.ts';

const MIB = 1 << 20;
const EXPIRED = ['activation_date = "2020-01-01 00:00:00 UTC"', 'expiration_date = "2020-01-02 00:00:00 UTC"'];

/*
 * ssh answers on this host, qemu in a network of its own: what listens here on the port of the blocks stands between the
 * run and qemu's server, as a slow link, or as somebody else.
 */
describe.skipIf(requires('root', 'ip', 'sshd', 'nc', 'certtool', 'nbdkit').skip)(
  'what is between the blocks and the run',
  () => {
    let there: SecondHost;
    let server: SshServer;
    let certificates: Certificates;
    let scenario: Scenario;
    let port: number;
    beforeAll(async () => {
      there = await startSecondHost();
      server = await startSshServer();
      certificates = await makeCertificates();
      for (const name of await readdir(certificates.folder)) await giveToDaemon(join(certificates.folder, name));
      port = await freePort();
      const daemon = { within: there.within, backupCertificates: certificates.folder };
      scenario = await Scenario.start([{ target: 'vda' }], { daemon });
      scenario.connectThrough(server);
    });
    afterAll(async () => {
      await scenario?.[Symbol.asyncDispose]();
      await certificates?.[Symbol.asyncDispose]();
      await server?.stop();
      await there?.stop();
    });

    async function fresh(): Promise<Scenario> {
      const copy = await Scenario.copyOf(scenario);
      copy.connectThrough(server);
      return copy;
    }
    const network = (): string[] => ['--nbd-ip', '0.0.0.0', '--nbd-port', String(port)];

    async function expectRefused(hint: RegExp, certificatesFolder: string): Promise<void> {
      await using own = await fresh();
      const { code, stderr } = await own.tryBackup('full', ...network(), '--tls', '--tls-cert', certificatesFolder);
      expect([code, stderr]).toEqual([1, expect.stringMatching(hint)]);
      expect([await own.vm.jobActive(), await own.vm.checkpoints(), await own.points()]).toEqual([false, [], []]);
      expect(await findLeftovers(own.libvirt, { folders: [own.folder] })).toEqual([]);
    }

    test('over a slow link several reads are in flight, on several connections, and the backup is exact', async () => {
      await using own = await fresh();
      await using link = await startLink(port, { host: there.address, port }, { delayMs: 30 });
      await own.vm.write('vda', 0, 40 * MIB, 0x11);
      await own.backup('copy', 'copy', ...network());
      expect(link.readsInFlight).toBeGreaterThanOrEqual(4);
      expect(link.connections).toBeGreaterThanOrEqual(2);
      await own.expectAllPointsExact();
    });

    test('a plain server in the place of one with TLS is not talked to', async () => {
      await using plain = await startNbdkit(['memory', '64M']);
      await using _link = await startLink(port, { path: plain.socket });
      await expectRefused(/does not offer TLS/, certificates.folder);
    });

    test('an expired certificate is refused, of whoever answers, and by qemu itself before it shows it', async () => {
      await using expired = await makeCertificates(EXPIRED);
      const tls = ['--tls=require', `--tls-certificates=${expired.folder}`];
      await using other = await startNbdkit([...tls, 'memory', '64M']);
      await using _link = await startLink(port, { path: other.socket });
      await expectRefused(/certificate has expired/, expired.folder);
      // Last: the VM's qemu reads its certificates for each job.
      for (const name of ['server-cert.pem', 'server-key.pem', 'ca-cert.pem'])
        await copyFile(join(expired.folder, name), join(certificates.folder, name));
      await expectRefused(/server-cert.pem has expired/, expired.folder);
    });
  },
);
