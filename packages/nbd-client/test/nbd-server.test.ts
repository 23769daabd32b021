import { spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { findProgram, requires, tempFolder, waitFor } from '@virtnbd/test-kit';
import { describe, expect, test } from 'vitest';
import { NbdClient } from '../src/index.ts';
import { errorOf } from './expect-error.ts';
import { pattern } from './pattern.ts';

const needed = requires('nbd-server');
const MIB = 1024 * 1024;

/** The reference implementation, on a port of 127.0.0.1, with one export `disk` of 8 MiB. */
async function startNbdServer(settings: readonly string[] = []) {
  const folder = await tempFolder();
  const port = await freePort();
  const image = join(folder.path, 'disk.raw');
  const config = join(folder.path, 'config');
  await writeFile(image, pattern(0, 8 * MIB));
  const general = ['[generic]', `port = ${port}`, 'listenaddr = 127.0.0.1', 'allowlist = true'];
  await writeFile(config, [...general, '[disk]', `exportname = ${image}`, ...settings, ''].join('\n'));
  // -d: in the foreground, so that its one child goes with it.
  const child = spawn(findProgram('nbd-server') ?? '', ['-d', '-C', config, '-p', join(folder.path, 'pid')], {
    stdio: 'ignore',
  });
  const ended = new Promise((resolve) => child.once('close', resolve));
  const address = { host: '127.0.0.1', port };
  await waitFor(
    () =>
      NbdClient.list(address).then(
        () => true,
        () => false,
      ),
    { what: 'nbd-server', intervalMs: 20 },
  );
  const stop = async () => {
    child.kill('SIGKILL');
    await ended;
    await folder.remove();
  };
  return { address, [Symbol.asyncDispose]: stop };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}

describe.skipIf(needed.skip)('nbd-server', () => {
  test('lists its export', async () => {
    await using server = await startNbdServer();
    expect(await NbdClient.list(server.address)).toMatchObject([{ exportName: 'disk' }]);
  });

  test('gives the right bytes and takes writes, flush and trim', async () => {
    await using server = await startNbdServer(['flush = true', 'fua = true', 'trim = true']);
    await using client = await NbdClient.connect(server.address, { exportName: 'disk' });
    expect(client).toMatchObject({ size: 8 * MIB, readOnly: false, canFlush: true, canFua: true, canTrim: true });
    const buffer = new Uint8Array(client.size);
    await client.read(0, buffer);
    expect(Buffer.compare(buffer, pattern(0, client.size))).toBe(0);
    await client.write(4096, new Uint8Array(MIB + 512).fill(3), { fua: true });
    await client.flush();
    await client.read(0, buffer);
    expect(buffer.subarray(4096, 4096 + MIB + 512).every((byte) => byte === 3)).toBe(true);
    await client.trim(0, 4096);
  });

  test('refuses an export that it does not have', async () => {
    await using server = await startNbdServer();
    const error = await errorOf(NbdClient.connect(server.address, { exportName: 'none' }));
    expect(error).toMatchObject({ code: 'HANDSHAKE' });
  });

  test('tells that an export is read-only', async () => {
    await using server = await startNbdServer(['readonly = true']);
    await using client = await NbdClient.connect(server.address, { exportName: 'disk' });
    expect(client.readOnly).toBe(true);
    expect(await errorOf(client.write(0, new Uint8Array(512)))).toMatchObject({ code: 'UNSUPPORTED' });
  });
});
