import {
  decodeErrorReply,
  decodeExportNameReply,
  decodeInfo,
  decodeMetaContext,
  decodeServerReply,
  encodeClientFlags,
  encodeExportName,
  encodeInfoRequest,
  encodeMetaContextRequest,
  encodeOption,
  exportNameReplyLength,
  NBD_FLAG_C_FIXED_NEWSTYLE,
  NBD_INFO_BLOCK_SIZE,
  NBD_INFO_DESCRIPTION,
  NBD_INFO_EXPORT,
  NBD_INFO_NAME,
  NBD_OPT_ABORT,
  NBD_OPT_EXPORT_NAME,
  NBD_OPT_EXTENDED_HEADERS,
  NBD_OPT_GO,
  NBD_OPT_INFO,
  NBD_OPT_LIST,
  NBD_OPT_LIST_META_CONTEXT,
  NBD_OPT_SET_META_CONTEXT,
  NBD_OPT_STARTTLS,
  NBD_OPT_STRUCTURED_REPLY,
  NBD_REP_ACK,
  NBD_REP_ERR_BLOCK_SIZE_REQD,
  NBD_REP_ERR_EXT_HEADER_REQD,
  NBD_REP_ERR_INVALID,
  NBD_REP_ERR_PLATFORM,
  NBD_REP_ERR_POLICY,
  NBD_REP_ERR_TOO_BIG,
  NBD_REP_ERR_UNKNOWN,
  NBD_REP_ERR_UNSUP,
} from '@virtnbd/nbd-protocol';
import { waitFor } from '@virtnbd/test-kit';
import { expect, test } from 'vitest';
import { MemorySource, pattern } from './memory-source.ts';
import { RawClient } from './raw-client.ts';
import { serve } from './serving.ts';

const source = new MemorySource(pattern(1 << 20));
const name = (exportName: string, kinds: number[] = []) => encodeInfoRequest({ exportName, kinds });
const contexts = (...queries: string[]) => encodeMetaContextRequest({ exportName: '', queries });

test('lists every export with its description', async () => {
  await using serving = await serve([
    { name: 'vda', description: 'the first', source },
    { name: 'vdä@virtnbdbackup.3', source },
  ]);
  using client = await RawClient.greeted(serving.path);
  const replies = await client.option(NBD_OPT_LIST);
  expect(replies.slice(0, -1).map(({ data }) => decodeServerReply(data))).toEqual([
    { exportName: 'vda', description: 'the first' },
    { exportName: 'vdä@virtnbdbackup.3', description: '' },
  ]);
});

test('tells what an export is, under its own name, also when it is the default one', async () => {
  const blockSize = { minimum: 512, preferred: 65_536, maximum: 1 << 20 };
  await using serving = await serve([{ name: 'vda', description: 'a disk', source, blockSize }], {
    defaultExport: 'vda',
  });
  using client = await RawClient.greeted(serving.path);
  const kinds = [NBD_INFO_NAME, NBD_INFO_DESCRIPTION, NBD_INFO_BLOCK_SIZE];
  const replies = await client.option(NBD_OPT_INFO, name('', kinds));
  expect(replies.at(-1)?.type).toBe(NBD_REP_ACK);
  expect(replies.slice(0, -1).map(({ data }) => decodeInfo(data))).toEqual([
    { kind: NBD_INFO_EXPORT, size: 1 << 20, flags: expect.any(Number) },
    { kind: NBD_INFO_BLOCK_SIZE, ...blockSize },
    { kind: NBD_INFO_NAME, exportName: 'vda' },
    { kind: NBD_INFO_DESCRIPTION, description: 'a disk' },
  ]);
});

test('a client that does not ask for block sizes cannot enter an export that needs them', async () => {
  await using serving = await serve([{ source, blockSize: { minimum: 512 } }]);
  using client = await RawClient.greeted(serving.path);
  expect((await client.option(NBD_OPT_GO, name('')))[0]?.type).toBe(NBD_REP_ERR_BLOCK_SIZE_REQD);
});

test.each([
  ['no zeroes', 3],
  ['zeroes', NBD_FLAG_C_FIXED_NEWSTYLE],
  ['zeroes, for a client that knows no fixed newstyle', 0],
])('NBD_OPT_EXPORT_NAME leads in, with %s behind the answer', async (_, flags) => {
  await using serving = await serve(source);
  using client = await RawClient.connect(serving.path);
  await client.read(18);
  client.send(encodeClientFlags(flags), encodeOption(NBD_OPT_EXPORT_NAME, encodeExportName('')));
  const reply = await client.read(exportNameReplyLength(flags === 3));
  expect(decodeExportNameReply(reply).size).toBe(1 << 20);
});

test('NBD_OPT_EXPORT_NAME of an unknown export ends the connection', async () => {
  await using serving = await serve(source);
  using client = await RawClient.greeted(serving.path);
  client.send(encodeOption(NBD_OPT_EXPORT_NAME, encodeExportName('sda')));
  await client.ended();
  await waitFor(() => serving.events.find(({ type }) => type === 'disconnected'));
  expect(serving.events.at(-1)).toMatchObject({ error: { code: 'PROTOCOL' } });
});

test.each<[string, number, Uint8Array | undefined, number]>([
  ['an unknown export', NBD_OPT_GO, name('sda'), NBD_REP_ERR_UNKNOWN],
  [
    'contexts of an unknown export',
    NBD_OPT_LIST_META_CONTEXT,
    encodeMetaContextRequest({ exportName: 'x', queries: [] }),
    NBD_REP_ERR_UNKNOWN,
  ],
  ['contexts before structured replies', NBD_OPT_SET_META_CONTEXT, contexts('base:allocation'), NBD_REP_ERR_INVALID],
  ['an unknown option', 77, Buffer.from('what?'), NBD_REP_ERR_UNSUP],
  ['a list with data', NBD_OPT_LIST, Buffer.from('x'), NBD_REP_ERR_INVALID],
  ['TLS without a certificate', NBD_OPT_STARTTLS, undefined, NBD_REP_ERR_POLICY],
  ['data cut short', NBD_OPT_GO, name('sda').subarray(0, 5), NBD_REP_ERR_INVALID],
  ['data that is too long', NBD_OPT_GO, Buffer.alloc(100_000), NBD_REP_ERR_TOO_BIG],
  ['a name that is no UTF-8', NBD_OPT_GO, Buffer.of(0, 0, 0, 1, 0xff, 0, 0), NBD_REP_ERR_INVALID],
  [
    'more queries than bytes',
    NBD_OPT_LIST_META_CONTEXT,
    Buffer.of(0, 0, 0, 0, 255, 255, 255, 255),
    NBD_REP_ERR_INVALID,
  ],
])('%s is refused, and the handshake goes on', async (_, option, data, type) => {
  await using serving = await serve(source);
  using client = await RawClient.greeted(serving.path);
  const [reply] = await client.option(option, data);
  expect(reply).toMatchObject({ option, type });
  expect(decodeErrorReply(reply?.data ?? Buffer.alloc(0))).not.toBe('');
  expect((await client.option(NBD_OPT_GO, name(''))).at(-1)?.type).toBe(NBD_REP_ACK);
});

test('the form of replies is agreed on once, and only upwards', async () => {
  await using serving = await serve(source);
  using client = await RawClient.greeted(serving.path);
  const [structured, extended] = [NBD_OPT_STRUCTURED_REPLY, NBD_OPT_EXTENDED_HEADERS];
  const types: (number | undefined)[] = [];
  for (const option of [structured, structured, extended, extended, structured]) {
    types.push((await client.option(option))[0]?.type);
  }
  expect(types).toEqual([
    NBD_REP_ACK,
    NBD_REP_ERR_INVALID,
    NBD_REP_ACK,
    NBD_REP_ERR_INVALID,
    NBD_REP_ERR_EXT_HEADER_REQD,
  ]);
});

test.each<[string, number, string[], string[]]>([
  ['a list of all', NBD_OPT_LIST_META_CONTEXT, [], ['base:allocation']],
  ['a list of a namespace', NBD_OPT_LIST_META_CONTEXT, ['base:'], ['base:allocation']],
  ['a list of another namespace', NBD_OPT_LIST_META_CONTEXT, ['qemu:'], []],
  ['a selection', NBD_OPT_SET_META_CONTEXT, ['qemu:dirty-bitmap:x', 'base:allocation'], ['base:allocation']],
  ['a selection of nothing', NBD_OPT_SET_META_CONTEXT, [], []],
  ['a selection of a namespace', NBD_OPT_SET_META_CONTEXT, ['base:'], []],
])('meta contexts: %s', async (_, option, queries, granted) => {
  await using serving = await serve(source);
  using client = await RawClient.greeted(serving.path);
  await client.option(NBD_OPT_STRUCTURED_REPLY);
  const replies = await client.option(option, contexts(...queries));
  expect(replies.at(-1)?.type).toBe(NBD_REP_ACK);
  expect(replies.slice(0, -1).map(({ data }) => decodeMetaContext(data).name)).toEqual(granted);
});

test('a source that tells no extents has no meta context', async () => {
  const plain = { size: 4096, read: async () => {} };
  await using serving = await serve(plain);
  using client = await RawClient.greeted(serving.path);
  expect(await client.option(NBD_OPT_LIST_META_CONTEXT, contexts())).toHaveLength(1);
});

test('a source is opened once, when the first client wants it; a failure is refused and may be tried again', async () => {
  let opened = 0;
  const open = async () => {
    if (++opened === 1) throw new Error('not yet');
    return source;
  };
  await using serving = await serve([{ source: open }]);
  using client = await RawClient.greeted(serving.path);
  await client.option(NBD_OPT_LIST);
  expect(opened).toBe(0);
  expect((await client.option(NBD_OPT_INFO, name('')))[0]?.type).toBe(NBD_REP_ERR_PLATFORM);
  expect(serving.events.at(-1)).toMatchObject({ type: 'source-error', command: 'open' });
  expect((await client.option(NBD_OPT_INFO, name(''))).at(-1)?.type).toBe(NBD_REP_ACK);
  expect((await client.option(NBD_OPT_GO, name(''))).at(-1)?.type).toBe(NBD_REP_ACK);
  expect(opened).toBe(2);
});

test('a client may leave before it enters', async () => {
  await using serving = await serve(source);
  using client = await RawClient.greeted(serving.path);
  expect(await client.option(NBD_OPT_ABORT)).toMatchObject([{ type: NBD_REP_ACK }]);
  await client.ended();
  await waitFor(() => serving.events.find(({ type }) => type === 'disconnected'));
  expect(serving.events.at(-1)).toMatchObject({ type: 'disconnected', left: 0 });
  expect(serving.events.at(-1)).not.toHaveProperty('error');
});

test('a client that does not finish the handshake is dropped; one that has may be idle', async () => {
  await using serving = await serve(source, { handshakeTimeoutMs: 100 });
  using idle = await RawClient.opened(serving.path);
  using slow = await RawClient.greeted(serving.path);
  slow.send(encodeOption(NBD_OPT_GO, name('')).subarray(0, 20));
  await slow.ended();
  await waitFor(() => serving.events.find(({ type }) => type === 'disconnected'));
  expect(serving.events.at(-1)).toMatchObject({ error: { code: 'TIMEOUT' }, left: 1 });
  expect(idle.socket.closed).toBe(false);
});
