import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import {
  type Certificates,
  makeCertificates,
  makeImage,
  PSK,
  requires,
  SERVER_NAME,
  startNbdkit,
  startQemuNbd,
  tempFolder,
  USER,
} from '@virtnbd/test-kit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { NbdClient, type NbdTlsOptions } from '../src/index.ts';
import { errorOf } from './expect-error.ts';
import { pattern } from './pattern.ts';
import { startRelay } from './relay.ts';

const needed = requires('qemu-nbd', 'qemu-img', 'nbdkit', 'certtool');
const MIB = 1024 * 1024;

describe.skipIf(needed.skip)('TLS', () => {
  let certificates: Certificates;
  let ca: string;

  beforeAll(async () => {
    certificates = await makeCertificates();
    ca = await certificates.pem('ca-cert.pem');
  });
  afterAll(() => certificates[Symbol.asyncDispose]());

  const nbdkit = (...args: string[]) =>
    startNbdkit(['--tls=require', `--tls-certificates=${certificates.folder}`, ...args, 'pattern', '4M']);
  const nbdkitWithKeys = () => startNbdkit(['--tls=require', `--tls-psk=${certificates.keys}`, 'pattern', '4M']);

  const clientCertificate = async (): Promise<NbdTlsOptions> => ({
    ca,
    cert: await certificates.pem('client-cert.pem'),
    key: await certificates.pem('client-key.pem'),
    hostname: SERVER_NAME,
  });

  async function expectPattern(client: NbdClient): Promise<void> {
    const buffer = new Uint8Array(client.size);
    await client.read(0, buffer);
    expect(Buffer.compare(buffer, pattern(0, client.size))).toBe(0);
  }

  describe('with nbdkit', () => {
    test('a server certificate with the right name lets 4 MiB through', async () => {
      await using server = await nbdkit();
      await using client = await NbdClient.connect({ path: server.socket }, { tls: { ca, hostname: SERVER_NAME } });
      await expectPattern(client);
    });

    test('contexts, structured replies and several connections work under it', async () => {
      await using server = await nbdkit();
      const options = { tls: { ca, hostname: SERVER_NAME }, metaContexts: ['base:allocation'], connections: 3 };
      await using client = await NbdClient.connect({ path: server.socket }, options);
      expect(client).toMatchObject({ metaContexts: ['base:allocation'], connections: 3 });
      await expectPattern(client);
    });

    test('a certificate of another name is refused, and says what to do', async () => {
      await using server = await nbdkit();
      const error = await errorOf(
        NbdClient.connect({ path: server.socket }, { tls: { ca, hostname: 'other.example.org' } }),
      );
      expect(error).toMatchObject({ code: 'TLS', cause: { code: 'ERR_TLS_CERT_ALTNAME_INVALID' } });
      expect(error.message).toContain('hostname');
    });

    test('a certificate of an unknown authority is refused', async () => {
      await using server = await nbdkit();
      const error = await errorOf(NbdClient.connect({ path: server.socket }, { tls: { hostname: SERVER_NAME } }));
      expect(error.code).toBe('TLS');
      expect(error.message).toContain('(ca)');
    });

    test('a revoked certificate is refused', async () => {
      await using server = await nbdkit();
      const tls = { ca, hostname: SERVER_NAME, crl: await certificates.revoke('server-cert.pem') };
      const error = await errorOf(NbdClient.connect({ path: server.socket }, { tls }));
      expect(error).toMatchObject({ code: 'TLS', cause: { code: 'CERT_REVOKED' } });
    });

    test('a client certificate is shown where the server asks for one', async () => {
      await using server = await nbdkit('--tls-verify-peer');
      await using client = await NbdClient.connect({ path: server.socket }, { tls: await clientCertificate() });
      await expectPattern(client);
    });

    test('a client without a certificate does not get in where the server asks for one', async () => {
      await using server = await nbdkit('--tls-verify-peer');
      const error = await errorOf(NbdClient.connect({ path: server.socket }, { tls: { ca, hostname: SERVER_NAME } }));
      expect(error).toMatchObject({ code: 'TLS', message: expect.stringContaining('client certificate') });
    });

    test('a server that demands it refuses a client without, with a hint', async () => {
      await using server = await nbdkit();
      const error = await errorOf(NbdClient.connect({ path: server.socket }));
      expect(error).toMatchObject({ code: 'HANDSHAKE', reply: 'NBD_REP_ERR_TLS_REQD' });
      expect(error.message).toContain('tls');
    });

    test('a server without it is not talked to in plain text', async () => {
      await using server = await startNbdkit(['--tls=off', 'pattern', '1M']);
      const error = await errorOf(NbdClient.connect({ path: server.socket }, { tls: { ca, hostname: SERVER_NAME } }));
      expect(error).toMatchObject({ code: 'TLS' });
      expect(error.reply).toMatch(/NBD_REP_ERR_(UNSUP|POLICY)/);
    });

    test('a pre-shared key lets the client in', async () => {
      await using server = await nbdkitWithKeys();
      await using client = await NbdClient.connect({ path: server.socket }, { tls: { psk: PSK } });
      await expectPattern(client);
    });

    test.each([
      ['a wrong key', { ...PSK, key: Buffer.alloc(32, 7) }],
      ['an unknown user', { ...PSK, identity: 'mallory' }],
    ])('%s is refused', async (_, psk) => {
      await using server = await nbdkitWithKeys();
      expect((await errorOf(NbdClient.connect({ path: server.socket }, { tls: { psk } }))).code).toBe('TLS');
    });

    test('a server that has certificates but not the key is refused by a client with a key', async () => {
      await using server = await nbdkit();
      expect((await errorOf(NbdClient.connect({ path: server.socket }, { tls: { psk: PSK } }))).code).toBe('TLS');
    });

    test('it runs over a stream that is already open', async () => {
      await using server = await nbdkit();
      const stream = connect(server.socket);
      await using client = await NbdClient.connect({ stream }, { tls: { ca, hostname: SERVER_NAME } });
      await expectPattern(client);
    });

    test('the files that a URI names are read', async () => {
      await using server = await nbdkit('--tls-verify-peer');
      const socket = encodeURIComponent(server.socket);
      const uri = `nbds+unix:///?socket=${socket}&tls-certificates=${certificates.folder}&tls-hostname=${SERVER_NAME}`;
      await using client = await NbdClient.connectUri(uri, { readFile });
      await expectPattern(client);
    });

    test('a file of keys that a URI names is read', async () => {
      await using server = await nbdkitWithKeys();
      const uri = `nbds+unix:///?socket=${encodeURIComponent(server.socket)}&tls-psk-file=${certificates.keys}`;
      await using client = await NbdClient.connectUri(uri, { readFile });
      await expectPattern(client);
      const missing = uri.replace('keys.psk', 'none.psk');
      expect((await errorOf(NbdClient.connectUri(missing, { readFile }))).code).toBe('USAGE');
      expect((await errorOf(NbdClient.connectUri(uri))).code).toBe('USAGE');
    });
  });

  describe('with qemu-nbd', () => {
    const object = (...args: string[]) => ['--object', args.join(','), '--tls-creds', 'tls0'];
    const x509 = (verify: boolean) =>
      object(
        'tls-creds-x509',
        'id=tls0',
        'endpoint=server',
        `dir=${certificates.folder}`,
        `verify-peer=${verify ? 'on' : 'off'}`,
      );

    async function start(extra: readonly string[]) {
      const folder = await tempFolder();
      const image = join(folder.path, 'disk.raw');
      await makeImage(image, { format: 'raw', size: 4 * MIB });
      const server = await startQemuNbd(image, { format: 'raw', extra });
      const relay = await startRelay(server.socket);
      const stop = async () => {
        await relay[Symbol.asyncDispose]();
        await server.stop();
        await folder.remove();
      };
      return { port: relay.port, [Symbol.asyncDispose]: stop };
    }

    test.each([true, false])('what is written comes back; client certificate: %s', async (verify) => {
      await using server = await start(x509(verify));
      const tls = verify ? await clientCertificate() : { ca };
      await using client = await NbdClient.connect({ host: '127.0.0.1', port: server.port }, { tls });
      const data = Buffer.from(pattern(0, 3 * MIB));
      await client.write(4096, data);
      await client.flush();
      const back = new Uint8Array(data.byteLength);
      await client.read(4096, back);
      expect(Buffer.compare(back, data)).toBe(0);
    });

    test('the host of the address is the name that is checked', async () => {
      await using server = await start(x509(false));
      const address = { host: 'localhost', port: server.port };
      expect(await errorOf(NbdClient.connect(address, { tls: { ca } }))).toMatchObject({ code: 'TLS' });
      await using client = await NbdClient.connect(address, { tls: { ca, hostname: SERVER_NAME } });
      expect(client.size).toBe(4 * MIB);
    });

    test('a pre-shared key lets the client in', async () => {
      const dir = dirname(certificates.keys);
      await using server = await start(object('tls-creds-psk', 'id=tls0', 'endpoint=server', `dir=${dir}`));
      const uri = `nbds://${USER}@127.0.0.1:${server.port}/?tls-psk-file=${certificates.keys}`;
      await using client = await NbdClient.connectUri(uri, { readFile });
      expect(client.size).toBe(4 * MIB);
      await client.write(0, new Uint8Array(65_536).fill(1));
    });

    test('exports are listed under it', async () => {
      await using server = await start(x509(false));
      const found = await NbdClient.list({ host: '127.0.0.1', port: server.port }, { tls: { ca } });
      expect(found).toEqual([{ exportName: '', description: '' }]);
    });
  });
});
