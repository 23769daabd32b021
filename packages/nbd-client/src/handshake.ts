import {
  type BlockSize,
  decodeErrorReply,
  decodeExportNameReply,
  decodeGreeting,
  decodeInfo,
  decodeMetaContext,
  decodeOptionReplyHeader,
  encodeClientFlags,
  encodeExportName,
  encodeInfoRequest,
  encodeMetaContextRequest,
  encodeOption,
  exportNameReplyLength,
  GREETING_LENGTH,
  isErrorReply,
  type MetaContext,
  NBD_DEFAULT_MAX_PAYLOAD,
  NBD_FLAG_C_FIXED_NEWSTYLE,
  NBD_FLAG_C_NO_ZEROES,
  NBD_FLAG_FIXED_NEWSTYLE,
  NBD_FLAG_NO_ZEROES,
  NBD_INFO_BLOCK_SIZE,
  NBD_INFO_EXPORT,
  NBD_OPT_EXPORT_NAME,
  NBD_OPT_GO,
  NBD_OPT_SET_META_CONTEXT,
  NBD_OPT_STRUCTURED_REPLY,
  NBD_REP_ACK,
  NBD_REP_INFO,
  NBD_REP_META_CONTEXT,
  OPTION_REPLY_HEADER_LENGTH,
  optionName,
  optionReplyName,
} from '@virtnbd/nbd-protocol';
import { NbdError, printable } from './errors.ts';
import type { HandshakeStream } from './handshake-stream.ts';

/** What the handshake agreed on. */
export interface Session {
  size: number;
  /** NBD_FLAG_* transmission flags. */
  flags: number;
  blockSize: BlockSize;
  structured: boolean;
  contexts: readonly MetaContext[];
}

export interface HandshakeOptions {
  exportName: string;
  metaContexts: readonly string[];
}

/** Bytes of an option reply's data: the longest that is defined has two strings of 4096 bytes. */
const MAX_OPTION_REPLY = 16 * 1024;
/** Replies to one option: NBD_OPT_GO has four kinds of information, contexts are few. */
const MAX_OPTION_REPLIES = 256;
/** Contexts in one session: each may fill 8 MiB of every block-status reply. */
const MAX_CONTEXTS = 16;

/** "Fixed newstyle negotiation", up to the transmission phase. Falls back to NBD_OPT_EXPORT_NAME for old servers. */
export async function negotiate(stream: HandshakeStream, options: HandshakeOptions): Promise<Session> {
  const noZeroes = await greet(stream);
  const structured = (await ask(stream, NBD_OPT_STRUCTURED_REPLY)).refusal === undefined;
  const contexts = structured && options.metaContexts.length > 0 ? await setMetaContexts(stream, options) : [];
  return { ...(await enter(stream, options.exportName, noZeroes)), structured, contexts };
}

/** @returns whether both sides leave out the zeroes after NBD_OPT_EXPORT_NAME */
async function greet(stream: HandshakeStream): Promise<boolean> {
  const serverFlags = decodeGreeting(await stream.read(GREETING_LENGTH));
  if ((serverFlags & NBD_FLAG_FIXED_NEWSTYLE) === 0) {
    throw new NbdError('HANDSHAKE', 'the NBD server does not speak fixed newstyle, the only handshake supported');
  }
  const noZeroes = (serverFlags & NBD_FLAG_NO_ZEROES) !== 0;
  stream.send(encodeClientFlags(NBD_FLAG_C_FIXED_NEWSTYLE | (noZeroes ? NBD_FLAG_C_NO_ZEROES : 0)));
  return noZeroes;
}

/** A refusal leaves no context: the caller learns of it from what was granted. */
async function setMetaContexts(stream: HandshakeStream, options: HandshakeOptions): Promise<MetaContext[]> {
  const { exportName, metaContexts } = options;
  if (metaContexts.length > MAX_CONTEXTS) {
    throw new NbdError('USAGE', `${metaContexts.length} meta contexts asked for; at most ${MAX_CONTEXTS} are possible`);
  }
  const data = encodeMetaContextRequest({ exportName, queries: metaContexts });
  const contexts: MetaContext[] = [];
  const { refusal } = await ask(stream, NBD_OPT_SET_META_CONTEXT, data, (type, reply) => {
    if (type !== NBD_REP_META_CONTEXT) throw unexpected(NBD_OPT_SET_META_CONTEXT, type);
    const context = decodeMetaContext(reply);
    if (contexts.some(({ id, name }) => id === context.id || name === context.name)) {
      throw new NbdError('PROTOCOL', `the NBD server granted the meta context ${printable(context.name)} twice`);
    }
    contexts.push(context);
    if (contexts.length > MAX_CONTEXTS) throw new NbdError('PROTOCOL', 'the NBD server granted too many meta contexts');
  });
  if (refusal !== undefined) return [];
  const rank = ({ name }: MetaContext) => metaContexts.indexOf(name) + 1 || MAX_CONTEXTS + 1;
  return contexts.sort((a, b) => rank(a) - rank(b));
}

type Export = Pick<Session, 'size' | 'flags' | 'blockSize'>;

async function enter(stream: HandshakeStream, exportName: string, noZeroes: boolean): Promise<Export> {
  const data = encodeInfoRequest({ exportName, kinds: [NBD_INFO_BLOCK_SIZE] });
  let size: number | undefined;
  let flags = 0;
  let blockSize: BlockSize = { minimum: 1, preferred: 4096, maximum: NBD_DEFAULT_MAX_PAYLOAD };
  const { refusal } = await ask(stream, NBD_OPT_GO, data, (type, reply) => {
    if (type !== NBD_REP_INFO) throw unexpected(NBD_OPT_GO, type);
    const info = decodeInfo(reply);
    if (info?.kind === NBD_INFO_EXPORT) ({ size, flags } = info);
    if (info?.kind === NBD_INFO_BLOCK_SIZE) {
      blockSize = { minimum: info.minimum, preferred: info.preferred, maximum: info.maximum };
    }
  });
  if (refusal?.reply === 'NBD_REP_ERR_UNSUP') {
    stream.send(encodeOption(NBD_OPT_EXPORT_NAME, encodeExportName(exportName)));
    return { ...decodeExportNameReply(await stream.read(exportNameReplyLength(noZeroes))), blockSize };
  }
  if (refusal !== undefined) throw refused(refusal, exportName);
  if (size === undefined) throw new NbdError('PROTOCOL', 'the NBD server accepted the export without telling its size');
  return { size, flags, blockSize };
}

interface Refusal {
  /** Such as `NBD_REP_ERR_UNKNOWN`. */
  reply: string;
  /** The server's own words, or nothing. */
  message: string;
}

/** Sends one option and reads its replies up to the last: an acknowledgement, or a refusal. */
async function ask(
  stream: HandshakeStream,
  option: number,
  data?: Uint8Array,
  onReply: (type: number, data: Uint8Array) => void = (type) => {
    throw unexpected(option, type);
  },
): Promise<{ refusal?: Refusal }> {
  stream.send(encodeOption(option, data));
  for (let count = 0; count < MAX_OPTION_REPLIES; count++) {
    const header = decodeOptionReplyHeader(await stream.read(OPTION_REPLY_HEADER_LENGTH));
    if (header.option !== option) {
      const found = optionName(header.option);
      throw new NbdError('PROTOCOL', `the NBD server answered ${found} when asked ${optionName(option)}`);
    }
    if (header.length > MAX_OPTION_REPLY) {
      throw new NbdError('PROTOCOL', `the NBD server answered ${optionName(option)} with ${header.length} bytes`);
    }
    const reply = await stream.read(header.length);
    if (isErrorReply(header.type)) {
      return { refusal: { reply: optionReplyName(header.type), message: printable(decodeErrorReply(reply)) } };
    }
    if (header.type === NBD_REP_ACK) {
      if (header.length > 0) throw new NbdError('PROTOCOL', 'the NBD server sent an NBD_REP_ACK with data');
      return {};
    }
    onReply(header.type, reply);
  }
  throw new NbdError('PROTOCOL', `the NBD server answers ${optionName(option)} without an end`);
}

function unexpected(option: number, type: number): NbdError {
  return new NbdError('PROTOCOL', `the NBD server answered ${optionName(option)} with ${optionReplyName(type)}`);
}

function refused({ reply, message }: Refusal, exportName: string): NbdError {
  const what = exportName === '' ? 'the default export' : `the export "${exportName}"`;
  const said = message === '' ? reply : `${message} (${reply})`;
  const advice = HINTS.get(reply);
  return new NbdError(
    'HANDSHAKE',
    `the NBD server refuses ${what}: ${said}${advice === undefined ? '' : `; ${advice}`}`,
    {
      reply,
    },
  );
}

const HINTS: ReadonlyMap<string, string> = new Map([
  ['NBD_REP_ERR_UNKNOWN', 'check the export name'],
  ['NBD_REP_ERR_TLS_REQD', 'it demands TLS, which this client does not speak yet'],
  ['NBD_REP_ERR_SHUTDOWN', 'it is shutting down'],
]);
