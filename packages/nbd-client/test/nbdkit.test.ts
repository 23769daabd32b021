import { networkInterfaces } from 'node:os';
import { requires, startNbdkit, waitFor, withSeed } from '@virtnbd/test-kit';
import { describe, expect, test } from 'vitest';
import { NbdClient, STATE_HOLE, STATE_ZERO } from '../src/index.ts';
import { collect, errorOf } from './expect-error.ts';
import { pattern } from './pattern.ts';
import { startRelay } from './relay.ts';

const needed = requires('nbdkit');
const MIB = 1024 * 1024;

describe.skipIf(needed.skip)('nbdkit', () => {
  test.each([
    ['structured replies', []],
    ['simple replies', ['--no-sr']],
    [
      'a minimum block of 4096',
      ['--filter=blocksize-policy', 'blocksize-minimum=4096', 'blocksize-error-policy=error'],
    ],
    [
      'a maximum of 64 KiB',
      [
        '--filter=blocksize-policy',
        'blocksize-preferred=4096',
        'blocksize-maximum=65536',
        'blocksize-error-policy=error',
      ],
    ],
  ])('random reads over %s give the right bytes', async (_, args) => {
    const flags = args.filter((arg) => arg.startsWith('-'));
    const parameters = args.filter((arg) => !arg.startsWith('-'));
    await using server = await startNbdkit([...flags, 'pattern', 'size=5M', ...parameters]);
    await using client = await NbdClient.connect({ path: server.socket });
    await withSeed(async (random) => {
      const reads = Array.from({ length: 60 }, async () => {
        const { offset, length } = random.range(client.size, { alignment: 1, longest: 3 * MIB });
        const buffer = new Uint8Array(length);
        await client.read(offset, buffer);
        expect(Buffer.compare(buffer, pattern(offset, length)), `${length} bytes at ${offset}`).toBe(0);
      });
      await Promise.all(reads);
    });
  });

  test('tells its block sizes, and unaligned writes are refused before they are sent', async () => {
    const policy = [
      'blocksize-minimum=4096',
      'blocksize-preferred=65536',
      'blocksize-maximum=1M',
      'blocksize-error-policy=error',
    ];
    await using server = await startNbdkit(['--filter=blocksize-policy', 'memory', '4M', ...policy]);
    await using client = await NbdClient.connect({ path: server.socket });
    expect(client.blockSize).toEqual({ minimum: 4096, preferred: 65_536, maximum: MIB });
    expect(await errorOf(client.write(512, new Uint8Array(4096)))).toMatchObject({ code: 'USAGE' });
    const data = Buffer.from(pattern(0, 3 * MIB));
    await client.write(4096, data);
    const back = new Uint8Array(data.byteLength);
    await client.read(4096, back);
    expect(Buffer.compare(back, data)).toBe(0);
  });

  test.each(loopbacks())('is reached over TCP by %s', async (host) => {
    await using server = await startNbdkit(['pattern', '4M']);
    await using relay = await startRelay(server.socket, { host });
    await using client = await NbdClient.connect({ host, port: relay.port });
    const buffer = new Uint8Array(client.size);
    await client.read(0, buffer);
    expect(Buffer.compare(buffer, pattern(0, client.size))).toBe(0);
  });

  test('a read error fails only that read, with its errno', async () => {
    const args = ['--filter=error', 'pattern', '1M', 'error-pread=ENOSPC', 'error-pread-rate=50%'];
    await using server = await startNbdkit(args);
    await using client = await NbdClient.connect({ path: server.socket });
    const outcomes = await Promise.allSettled(
      Array.from({ length: 200 }, async (_, i) => {
        const buffer = new Uint8Array(4096);
        await client.read(i * 4096, buffer);
        expect(Buffer.compare(buffer, pattern(i * 4096, 4096))).toBe(0);
      }),
    );
    const failed = outcomes.filter((outcome) => outcome.status === 'rejected');
    expect(failed.length).toBeGreaterThan(0);
    expect(failed.length).toBeLessThan(200);
    for (const { reason } of failed) expect(reason).toMatchObject({ code: 'REQUEST', errno: 'ENOSPC', length: 4096 });
  });

  test.each([
    ['write', 'error-pwrite-rate=100%'],
    ['writeZeroes', 'error-zero-rate=100%'],
    ['trim', 'error-trim-rate=100%'],
    ['extents', 'error-extents-rate=100%'],
  ])('a failed %s leaves reads in order', async (what, rate) => {
    await using server = await startNbdkit(['--filter=error', 'memory', '1M', 'error=EIO', 'error-pread-rate=0', rate]);
    await using client = await NbdClient.connect({ path: server.socket }, { metaContexts: ['base:allocation'] });
    const calls: Record<string, () => Promise<unknown>> = {
      write: () => client.write(0, new Uint8Array(4096)),
      writeZeroes: () => client.writeZeroes(0, 4096),
      trim: () => client.trim(0, 4096),
      extents: () => collect(client.extents()),
    };
    expect(await errorOf(calls[what]?.() ?? Promise.resolve())).toMatchObject({ code: 'REQUEST', errno: 'EIO' });
    await client.read(0, new Uint8Array(4096));
  });

  test('slow answers can be given up, and the connection stays usable', async () => {
    await using server = await startNbdkit(['--filter=delay', 'pattern', '1M', 'rdelay=200ms']);
    await using client = await NbdClient.connect({ path: server.socket });
    const buffer = new Uint8Array(4096);
    const reading = client.read(0, buffer, { signal: AbortSignal.timeout(20) });
    await expect(reading).rejects.toMatchObject({ name: 'TimeoutError' });
    const other = new Uint8Array(4096);
    await client.read(4096, other);
    expect(Buffer.compare(other, pattern(4096, 4096))).toBe(0);
    expect(buffer.every((byte) => byte === 0)).toBe(true);
  });

  test('extents of a sparse disk cover the data and only holes besides', async () => {
    await using server = await startNbdkit(['sparse-random', 'size=64M', 'percent=10', 'runlength=65536', 'seed=7']);
    await using client = await NbdClient.connect({ path: server.socket }, { metaContexts: ['base:allocation'] });
    let position = 0;
    for await (const runs of client.extents()) {
      for (const { start, length, flags } of runs) {
        expect(start).toBe(position);
        position += length;
        const buffer = new Uint8Array(length);
        await client.read(start, buffer);
        const empty = Buffer.compare(buffer, Buffer.alloc(length)) === 0;
        expect(empty).toBe(flags[0] === (STATE_HOLE | STATE_ZERO));
      }
    }
    expect(position).toBe(client.size);
  });

  test('without structured replies there are no contexts', async () => {
    await using server = await startNbdkit(['--no-sr', 'memory', '1M']);
    await using client = await NbdClient.connect({ path: server.socket }, { metaContexts: ['base:allocation'] });
    expect(client.metaContexts).toEqual([]);
    expect(await errorOf(collect(client.extents()))).toMatchObject({ code: 'UNSUPPORTED' });
  });

  test('an oldstyle server is refused', async () => {
    await using server = await startNbdkit(['--oldstyle', 'memory', '1M']);
    expect(await errorOf(NbdClient.connect({ path: server.socket }))).toMatchObject({ code: 'PROTOCOL' });
  });

  test('a server without fixed newstyle is refused', async () => {
    await using server = await startNbdkit(['--mask-handshake=0', 'memory', '1M']);
    expect(await errorOf(NbdClient.connect({ path: server.socket }))).toMatchObject({ code: 'HANDSHAKE' });
  });

  test('an export that fails to open is refused with a reason', async () => {
    await using server = await startNbdkit(['eval', 'open=echo EPERM keep out >&2; exit 1', 'get_size=echo 1M']);
    expect(await errorOf(NbdClient.connect({ path: server.socket }))).toMatchObject({ code: 'HANDSHAKE' });
  });

  test('the largest size that a server can tell is refused, not cut', async () => {
    await using server = await startNbdkit(['null', 'size=9223372036854775807']);
    expect(await errorOf(NbdClient.connect({ path: server.socket }))).toMatchObject({ code: 'PROTOCOL' });
  });

  test('a server that is killed in mid-copy fails every read, and close still returns', async () => {
    const server = await startNbdkit(['pattern', '4G']);
    const client = await NbdClient.connect({ path: server.socket });
    const buffers = Array.from({ length: 4 }, () => new Uint8Array(256 * MIB));
    const reads = buffers.map((buffer) => errorOf(client.read(0, buffer)));
    await waitFor(() => buffers[0]?.[MIB + 5] !== 0, { what: 'the first mebibyte', intervalMs: 1 });
    await server.stop('SIGKILL');
    for (const error of await Promise.all(reads)) expect(error).toMatchObject({ code: 'CLOSED', length: 256 * MIB });
    await client.close();
  });

  test('eight connections to one server work side by side', async () => {
    await using server = await startNbdkit(['pattern', '8M']);
    await Promise.all(
      Array.from({ length: 8 }, async (_, i) => {
        await using client = await NbdClient.connect({ path: server.socket });
        const buffer = new Uint8Array(MIB);
        await client.read(i * MIB, buffer);
        expect(Buffer.compare(buffer, pattern(i * MIB, MIB))).toBe(0);
      }),
    );
  });
});

/** Names of this machine for itself; a container may have no IPv6. */
function loopbacks(): string[] {
  const hasIpv6 = Object.values(networkInterfaces()).some((list) => list?.some(({ address }) => address === '::1'));
  return ['127.0.0.1', 'localhost', ...(hasIpv6 ? ['::1'] : [])];
}
