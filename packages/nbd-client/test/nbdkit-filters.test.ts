import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  isRunning,
  makeCertificates,
  requires,
  SERVER_NAME,
  startNbdkit,
  tempFolder,
  waitFor,
} from '@virtnbd/test-kit';
import { describe, expect, test } from 'vitest';
import { NbdClient } from '../src/index.ts';
import { collect } from './expect-error.ts';
import { pattern } from './pattern.ts';

const needed = requires('nbdkit', 'certtool');
const MIB = 1024 * 1024;

describe.skipIf(needed.skip)('nbdkit with the filter', () => {
  test('noextents tells one run of data', async () => {
    await using server = await startNbdkit(['--filter=noextents', 'memory', '8M']);
    await using client = await NbdClient.connect({ path: server.socket }, { metaContexts: ['base:allocation'] });
    expect(await collect(client.extents())).toEqual([{ start: 0, length: 8 * MIB, flags: [0] }]);
  });

  test('exitlast ends when the only client has closed in good order', async () => {
    await using server = await startNbdkit(['--filter=exitlast', 'memory', '1M']);
    const client = await NbdClient.connect({ path: server.socket });
    await client.read(0, new Uint8Array(4096));
    await client.close();
    await waitFor(() => !isRunning(server.pid), { what: 'the end of nbdkit', intervalMs: 10 });
  });

  test('exitwhen lets what is in flight end', async () => {
    await using folder = await tempFolder();
    const event = join(folder.path, 'stop');
    const delays = [`exit-when-file-created=${event}`, 'exit-when-poll=1', 'rdelay=300ms'];
    await using server = await startNbdkit(['--filter=exitwhen', '--filter=delay', 'pattern', '1M', ...delays]);
    const client = await NbdClient.connect({ path: server.socket });
    const buffer = new Uint8Array(client.size);
    const reading = client.read(0, buffer);
    await writeFile(event, '');
    await reading;
    expect(Buffer.compare(buffer, pattern(0, client.size))).toBe(0);
    await client.close();
    await waitFor(() => !isRunning(server.pid), { what: 'the end of nbdkit', intervalMs: 10 });
  });

  test('tls-fallback shows the disk under TLS only: a plain client gets what the server puts in its place', async () => {
    await using certificates = await makeCertificates();
    const tls = { ca: await certificates.pem('ca-cert.pem'), hostname: SERVER_NAME };
    const args = ['--tls=on', `--tls-certificates=${certificates.folder}`, '--filter=tls-fallback'];
    await using server = await startNbdkit([...args, 'pattern', '1M']);
    await using plain = await NbdClient.connect({ path: server.socket });
    expect(plain).toMatchObject({ size: 512, readOnly: true });
    await using encrypted = await NbdClient.connect({ path: server.socket }, { tls });
    expect(encrypted.size).toBe(MIB);
  });
});
