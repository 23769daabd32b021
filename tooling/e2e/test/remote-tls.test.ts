import { chown, copyFile, mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type Certificates,
  daemonIdentity,
  findLeftovers,
  freePort,
  giveToDaemon,
  identical,
  makeCertificates,
  requires,
  run as runProgram,
  type SshServer,
  startSshServer,
  TestLibvirt,
} from '@virtnbd/test-kit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { run, succeed } from '../src/commands.ts';
import { difference } from '../src/images.ts';
import { pipe } from '../src/pipe.ts';
import { Scenario } from '../src/scenario.ts';

const MIB = 1 << 20;

/* One VM with disks of every kind, whose libvirt is reached with TLS by its own port, and through ssh. */
describe.skipIf(requires('root', 'losetup', 'certtool', 'sshd', 'nc').skip)(
  'a libvirt that is reached with TLS',
  () => {
    let certificates: Certificates;
    let server: SshServer;
    let libvirt: TestLibvirt;
    let device: string;
    let scenario: Scenario;
    let port: number;
    let nbdPort: number;

    beforeAll(async () => {
      certificates = await makeCertificates();
      for (const name of await readdir(certificates.folder)) await giveToDaemon(join(certificates.folder, name));
      server = await startSshServer();
      port = await freePort();
      nbdPort = await freePort();
      const { folder } = certificates;
      libvirt = await TestLibvirt.start({ tls: { port, certificates: folder }, backupCertificates: folder });
      const image = (name: string): string => join(libvirt.workFolder, name);
      const create = async (name: string, ...options: string[]): Promise<string> => {
        await runProgram('qemu-img', ['create', '-q', '-f', 'qcow2', ...options, image(name), '8M']);
        return image(name);
      };
      const pool = image('pool');
      await mkdir(pool);
      const volume = await create('pool/volume.qcow2');
      await libvirt.virsh('pool-create-as', 'pool', 'dir', '--target', pool);
      await create('base.qcow2');
      await runProgram('qemu-io', ['-f', 'qcow2', '-c', 'write -P 0x77 0 4M', image('base.qcow2')]);
      await runProgram('truncate', ['-s', '8M', image('device')]);
      device = (await runProgram('losetup', ['--find', '--show', image('device')])).stdout.trim();
      const disks = [
        { target: 'vda', image: volume, source: { pool: 'pool', volume: 'volume.qcow2' } },
        { target: 'vdb', image: await create('over.qcow2', '-b', image('base.qcow2'), '-F', 'qcow2') },
        { target: 'vdc', image: await create('data.qcow2', '-o', `data_file=${image('data.bin')}`) },
        { target: 'vdd', size: '8M', format: 'raw' },
        { target: 'vde', image: device, source: 'block', format: 'raw' },
      ] as const;
      const { uid, gid } = daemonIdentity();
      for (const name of ['base.qcow2', 'data.bin']) await chown(image(name), uid, gid);
      scenario = await Scenario.in(libvirt, disks);
    });

    afterAll(async () => {
      await scenario?.[Symbol.asyncDispose]();
      await libvirt?.stop();
      if (device !== undefined) {
        await chown(device, 0, 0);
        await runProgram('losetup', ['--detach', device]);
      }
      await server?.stop();
      await certificates?.[Symbol.asyncDispose]();
    });

    const tlsUri = (pki: string, host = '127.0.0.1'): string => `qemu+tls://${host}:${port}/session?pkipath=${pki}`;

    /** A folder of its own for this VM, reached with TLS. */
    async function fresh(): Promise<Scenario> {
      const copy = await Scenario.copyOf(scenario);
      copy.connectBy(tlsUri(certificates.pki));
      return copy;
    }

    async function change(number: number): Promise<void> {
      for (const { target } of scenario.vm.disks) {
        await scenario.vm.write(target, number * MIB, MIB, number);
        await scenario.vm.zero(target, 65536 * number, 65536, { unmap: true });
      }
    }

    /** Full and increment of all kinds of disks, two at a time, a copy as raw images, and one through a pipe. */
    async function expectAllKindsExact(connect: (own: Scenario) => void, ...way: readonly string[]): Promise<void> {
      await using own = await Scenario.copyOf(scenario);
      connect(own);
      await change(1);
      await own.backup('full', 'virtnbdbackup.0', '--raw', ...way);
      await change(2);
      await own.backup('inc', 'virtnbdbackup.1', '--raw', '-z', '-w', '2', ...way);
      await own.expectExact('virtnbdbackup.1');
      await using images = await Scenario.copyOf(scenario);
      connect(images);
      await images.backupOnly('copy', '--raw', '-t', 'raw', ...way);
      for (const { target } of scenario.vm.disks) {
        const image = join(images.folder, `${target}.copy.data`);
        expect(await identical(image, own.reference('virtnbdbackup.1', target)), target).toBe(true);
      }
      expect(await findLeftovers(libvirt, { folders: [own.folder, images.folder] })).toEqual([]);
      await expectZipExact(own, way);
    }

    /** A copy through a pipe, with a libvirt behind ssh, whichever way the blocks take. */
    async function expectZipExact(own: Scenario, way: readonly string[]): Promise<void> {
      own.connectThrough(server);
      const zip = join(own.work.path, 'copy.zip');
      const place = { cwd: own.work.path, env: own.env };
      const { code, stderr } = await pipe(['-d', own.vm.name, '-i', 'vdb', ...way], `cat > '${zip}'`, place);
      expect([code, stderr]).toEqual([0, expect.not.stringContaining('ERROR')]);
      const restored = join(own.work.path, 'out of the zip');
      await succeed('virtnbdrestore', ['-i', zip, '-o', restored, '-n']);
      const image = join(restored, own.imageName('vdb'));
      expect(await difference(image, own.reference('virtnbdbackup.1', 'vdb'))).toBeNull();
    }
    const byTls = (own: Scenario): void => own.connectBy(tlsUri(certificates.pki));

    test('disks of every kind come exactly through ssh', async () => {
      await expectAllKindsExact((own) => own.connectThrough(server));
    });

    test('disks of every kind come exactly over TCP', async () => {
      await expectAllKindsExact(byTls, '--nbd-port', String(nbdPort));
    });

    test('disks of every kind come exactly over TLS', async () => {
      await expectAllKindsExact(byTls, '--nbd-port', String(nbdPort), '--tls', '--tls-cert', certificates.folder);
    });

    test('another authority, another name, and no certificate of ours: each is refused with what to look at', async () => {
      await using own = await fresh();
      await using strangers = await makeCertificates();
      const { folder, pki } = certificates;
      // Who answers is right, and does not know us.
      const unknown = join(own.work.path, 'unknown');
      await mkdir(unknown);
      await copyFile(join(pki, 'cacert.pem'), join(unknown, 'cacert.pem'));
      for (const name of ['clientcert.pem', 'clientkey.pem'])
        await copyFile(join(strangers.pki, name), join(unknown, name));
      for (const [uri, hint] of [
        [tlsUri(strangers.pki), `signed by ${strangers.pki}/cacert.pem`],
        [tlsUri(pki, 'localhost'), 'made out to localhost'],
        [tlsUri(unknown), `certificate ${unknown}/clientcert.pem failed validation`],
        [tlsUri(own.work.path), `Cannot read CA certificate '${own.work.path}/cacert.pem'`],
      ] as const) {
        own.connectBy(uri);
        const { code, stderr } = await own.tryBackup('full');
        expect([code, stderr]).toEqual([1, expect.stringContaining(hint)]);
      }
      own.connectBy(tlsUri(pki));
      const anonymous = join(own.work.path, 'only the authority');
      await mkdir(anonymous);
      await copyFile(join(folder, 'ca-cert.pem'), join(anonymous, 'ca-cert.pem'));
      for (const [hint, ...args] of [
        ['unable to verify the first certificate', '--tls-cert', strangers.folder],
        ['Host: other.example.org. is not in', '--tls-cert', folder, '--tls-hostname', 'other.example.org'],
        ['no client certificate was shown', '--tls-cert', anonymous],
      ] as const) {
        const { code, stderr } = await own.tryBackup(
          'copy',
          '-i',
          'vda',
          '--nbd-port',
          String(nbdPort),
          '--tls',
          ...args,
        );
        expect([code, stderr]).toEqual([1, expect.stringContaining(hint)]);
      }
      expect([await own.vm.jobActive(), await own.points()]).toEqual([false, []]);
      expect(await findLeftovers(libvirt, { folders: [own.folder] })).toEqual([]);
    });

    test('what cannot be had without the host itself is refused with the reason', async () => {
      await using own = await fresh();
      const way = ['-i', 'vda', '--nbd-port', String(nbdPort), '--tls', '--tls-cert', certificates.folder];
      await own.backupOnly('copy', ...way);
      const restore = ['-U', tlsUri(certificates.pki), '-i', own.folder, '-o', join(own.work.path, 'restored')];
      const restored = await run('virtnbdrestore', restore);
      expect([restored.code, restored.stderr]).toEqual([2, expect.stringContaining('restore with qemu+ssh')]);
      await own.vm.destroy();
      await using off = await fresh();
      const { code, stderr } = await off.tryBackup('copy', ...way);
      expect([code, stderr]).toEqual([1, expect.stringContaining("only libvirt's daemon is reached, not the images")]);
    });
  },
);
