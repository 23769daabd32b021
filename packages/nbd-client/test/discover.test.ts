import { join } from 'node:path';
import {
  encodeMetaContext,
  encodeOptionReply,
  encodeServerReply,
  NBD_OPT_ABORT,
  NBD_OPT_INFO,
  NBD_OPT_LIST,
  NBD_OPT_LIST_META_CONTEXT,
  NBD_REP_ACK,
  NBD_REP_ERR_POLICY,
  NBD_REP_ERR_UNSUP,
  NBD_REP_META_CONTEXT,
  NBD_REP_SERVER,
} from '@virtnbd/nbd-protocol';
import { makeImage, requires, run, startNbdkit, startQemuNbd, tempFolder, waitFor } from '@virtnbd/test-kit';
import { describe, expect, test } from 'vitest';
import { NbdClient } from '../src/index.ts';
import { errorOf } from './expect-error.ts';
import { type Script, ScriptedServer } from './scripted-server.ts';

const needed = requires('qemu-nbd', 'qemu-img', 'nbdkit');
const MIB = 1024 * 1024;

describe.skipIf(needed.skip)('a real server is asked', () => {
  test('for the exports of nbdkit, with their descriptions', async () => {
    const script = 'list_exports=echo INTERLEAVED; printf "disk one\\nthe first\\ntwo\\n\\n"';
    await using server = await startNbdkit(['eval', script, 'get_size=echo 1M', 'pread=exit 1']);
    expect(await NbdClient.list({ path: server.socket })).toEqual([
      { exportName: 'disk one', description: 'the first' },
      { exportName: 'two', description: '' },
    ]);
  });

  test('for the export of qemu-nbd, its size, flags and meta contexts', async () => {
    await using folder = await tempFolder();
    const image = join(folder.path, 'disk.qcow2');
    await makeImage(image, { size: 4 * MIB });
    await run('qemu-img', ['bitmap', '--add', image, 'backup0']);
    const about = ['--description', 'A disk'];
    const options = { format: 'qcow2', bitmap: 'backup0', readOnly: true, exportName: 'vda', extra: about } as const;
    await using server = await startQemuNbd(image, options);
    const address = { path: server.socket };
    expect(await NbdClient.list(address)).toEqual([{ exportName: 'vda', description: 'A disk' }]);
    const info = await NbdClient.info(address, { exportName: 'vda' });
    const flags = { readOnly: true, canMultiConn: true, canCache: true, canDontFragment: false };
    expect(info).toMatchObject({
      exportName: 'vda',
      canonicalName: 'vda',
      description: 'A disk',
      size: 4 * MIB,
      ...flags,
    });
    expect(info.blockSize.maximum).toBe(32 * MIB);
    const contexts = await NbdClient.listMetaContexts(address, { exportName: 'vda' });
    expect(contexts.sort()).toEqual(['base:allocation', 'qemu:dirty-bitmap:backup0']);
    expect(await NbdClient.listMetaContexts(address, { exportName: 'vda', queries: ['qemu:'] })).toEqual([
      'qemu:dirty-bitmap:backup0',
    ]);
  });

  test('for an export that it does not have, and refuses by name', async () => {
    await using folder = await tempFolder();
    const image = join(folder.path, 'disk.qcow2');
    await makeImage(image, { size: MIB });
    await using server = await startQemuNbd(image, { format: 'qcow2', exportName: 'vda' });
    const wrong = { exportName: 'vdz' };
    expect(await errorOf(NbdClient.info({ path: server.socket }, wrong))).toMatchObject({
      code: 'HANDSHAKE',
      reply: 'NBD_REP_ERR_UNKNOWN',
    });
    const contexts = NbdClient.listMetaContexts({ path: server.socket }, wrong);
    expect(await errorOf(contexts)).toMatchObject({ code: 'HANDSHAKE', reply: 'NBD_REP_ERR_UNKNOWN' });
  });
});

describe('a list', () => {
  const listing = (count: number, name = 'x'): Script => {
    const reply = (i: number) => encodeServerReply({ exportName: `${name}${i}`, description: '' });
    const replies = Array.from({ length: count }, (_, i) => encodeOptionReply(NBD_OPT_LIST, NBD_REP_SERVER, reply(i)));
    const bytes = Buffer.concat([...replies, encodeOptionReply(NBD_OPT_LIST, NBD_REP_ACK)]);
    return { onOption: (option) => (option === NBD_OPT_LIST ? bytes : undefined) };
  };

  test('leaves the server in good order', async () => {
    await using server = await ScriptedServer.start(listing(3));
    const found = await NbdClient.list({ path: server.path });
    expect(found.map(({ exportName }) => exportName)).toEqual(['x0', 'x1', 'x2']);
    await waitFor(() => server.open === 0, { what: 'the end of the connection', intervalMs: 5 });
    expect(server.options).toEqual([NBD_OPT_LIST, NBD_OPT_ABORT]);
  });

  test('of ten thousand exports comes whole; one more is too many', async () => {
    await using server = await ScriptedServer.start(listing(10_000));
    expect((await NbdClient.list({ path: server.path })).length).toBe(10_000);
    await using endless = await ScriptedServer.start(listing(10_002));
    expect(await errorOf(NbdClient.list({ path: endless.path }))).toMatchObject({ code: 'PROTOCOL' });
  });

  test('of more than 8 MiB is refused', async () => {
    await using server = await ScriptedServer.start(listing(2200, 'x'.repeat(4080)));
    expect(await errorOf(NbdClient.list({ path: server.path }))).toMatchObject({ code: 'PROTOCOL' });
  });

  test('that a server keeps to itself is a refusal with its words', async () => {
    const refusal = encodeOptionReply(NBD_OPT_LIST, NBD_REP_ERR_POLICY, Buffer.from('not for you'));
    await using server = await ScriptedServer.start({
      onOption: (option) => (option === NBD_OPT_LIST ? refusal : undefined),
    });
    const error = await errorOf(NbdClient.list({ path: server.path }));
    expect(error).toMatchObject({ code: 'HANDSHAKE', reply: 'NBD_REP_ERR_POLICY' });
    expect(error.message).toContain('not for you');
  });
});

describe('meta contexts', () => {
  test('are none where the server has no structured replies, or does not know the option', async () => {
    await using simple = await ScriptedServer.start({ structured: false });
    expect(await NbdClient.listMetaContexts({ path: simple.path })).toEqual([]);
    await using old = await ScriptedServer.start();
    expect(await NbdClient.listMetaContexts({ path: old.path })).toEqual([]);
    expect(old.options).toContain(NBD_OPT_LIST_META_CONTEXT);
  });

  test('are listed by name, whatever ids they come with', async () => {
    const reply = (name: string) =>
      encodeOptionReply(NBD_OPT_LIST_META_CONTEXT, NBD_REP_META_CONTEXT, encodeMetaContext({ id: 0, name }));
    const bytes = Buffer.concat([
      reply('a:b'),
      reply('c:d'),
      encodeOptionReply(NBD_OPT_LIST_META_CONTEXT, NBD_REP_ACK),
    ]);
    await using server = await ScriptedServer.start({
      onOption: (option) => (option === NBD_OPT_LIST_META_CONTEXT ? bytes : undefined),
    });
    expect(await NbdClient.listMetaContexts({ path: server.path })).toEqual(['a:b', 'c:d']);
  });
});

test('information is refused by a server that does not know the option', async () => {
  await using server = await ScriptedServer.start({
    onOption: (option) => (option === NBD_OPT_INFO ? encodeOptionReply(option, NBD_REP_ERR_UNSUP) : undefined),
  });
  expect(await errorOf(NbdClient.info({ path: server.path }))).toMatchObject({ reply: 'NBD_REP_ERR_UNSUP' });
});
