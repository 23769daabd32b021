import {
  type BlockSize,
  decodeExportNameReply,
  decodeGreeting,
  decodeInfo,
  decodeMetaContext,
  encodeClientFlags,
  encodeExportName,
  encodeInfoRequest,
  encodeMetaContextRequest,
  encodeOption,
  exportNameReplyLength,
  GREETING_LENGTH,
  type MetaContext,
  NBD_DEFAULT_MAX_PAYLOAD,
  NBD_FLAG_C_FIXED_NEWSTYLE,
  NBD_FLAG_C_NO_ZEROES,
  NBD_FLAG_FIXED_NEWSTYLE,
  NBD_FLAG_NO_ZEROES,
  NBD_INFO_BLOCK_SIZE,
  NBD_INFO_DESCRIPTION,
  NBD_INFO_EXPORT,
  NBD_INFO_NAME,
  NBD_OPT_EXPORT_NAME,
  NBD_OPT_EXTENDED_HEADERS,
  NBD_OPT_GO,
  NBD_OPT_INFO,
  NBD_OPT_SET_META_CONTEXT,
  NBD_OPT_STARTTLS,
  NBD_OPT_STRUCTURED_REPLY,
  NBD_REP_INFO,
  NBD_REP_META_CONTEXT,
} from '@virtnbd/nbd-protocol';
import { NbdError, printable } from './errors.ts';
import type { HandshakeStream } from './handshake-stream.ts';
import { ask, exportTitle, type Refusal, refused, unexpected } from './option-exchange.ts';

/** The form of the messages in the transmission phase, each a superset of the one before in what it can say. */
export type Headers = 'simple' | 'structured' | 'extended';

/** What the handshake agreed on. */
export interface Session extends ExportDetails {
  headers: Headers;
  contexts: readonly MetaContext[];
}

/** What the server tells of an export. */
export interface ExportDetails {
  size: number;
  /** NBD_FLAG_* transmission flags. */
  flags: number;
  blockSize: BlockSize;
  canonicalName?: string;
  description?: string;
}

export interface NegotiateOptions {
  exportName: string;
  metaContexts: readonly string[];
  extendedHeaders: boolean;
}

/** Contexts in one session: each may fill 16 MiB of every block-status reply. */
const MAX_CONTEXTS = 16;

/** @returns whether both sides leave out the zeroes after NBD_OPT_EXPORT_NAME */
export async function greet(stream: HandshakeStream): Promise<boolean> {
  const serverFlags = decodeGreeting(await stream.read(GREETING_LENGTH));
  if ((serverFlags & NBD_FLAG_FIXED_NEWSTYLE) === 0) {
    throw new NbdError('HANDSHAKE', 'the NBD server does not speak fixed newstyle, the only handshake supported');
  }
  const noZeroes = (serverFlags & NBD_FLAG_NO_ZEROES) !== 0;
  stream.send(encodeClientFlags(NBD_FLAG_C_FIXED_NEWSTYLE | (noZeroes ? NBD_FLAG_C_NO_ZEROES : 0)));
  return noZeroes;
}

/**
 * Asks for TLS, before anything else: nothing that was said in plain text is kept. The TLS handshake comes next.
 *
 * @throws NbdError `TLS` where the server refuses; `PROTOCOL` where bytes follow its agreement, which somebody may have put
 *   there to be taken for what the server says under encryption
 */
export async function askForTls(stream: HandshakeStream): Promise<void> {
  const refusal = await ask(stream, NBD_OPT_STARTTLS);
  if (refusal !== undefined) throw noTls(refusal);
  if (stream.rest().byteLength > 0) {
    throw new NbdError('PROTOCOL', 'the NBD server sent plain text after it had agreed to TLS');
  }
}

/** Servers without TLS, and those that have it switched off, answer in one of two ways. */
function noTls(refusal: Refusal): NbdError {
  const { reply } = refusal;
  if (reply !== 'NBD_REP_ERR_UNSUP' && reply !== 'NBD_REP_ERR_POLICY') return refused(refusal, 'TLS', 'TLS');
  const text = `the NBD server does not offer TLS (${reply}), and nothing is asked of it without; is it the right one, at the right port?`;
  return new NbdError('TLS', text, { reply });
}

/** From the first option to the transmission phase. Falls back to NBD_OPT_EXPORT_NAME for old servers. */
export async function negotiate(
  stream: HandshakeStream,
  options: NegotiateOptions,
  noZeroes: boolean,
): Promise<Session> {
  const headers = await chooseHeaders(stream, options.extendedHeaders);
  const wanted = headers !== 'simple' && options.metaContexts.length > 0;
  const contexts = wanted ? await setMetaContexts(stream, options) : [];
  return { ...(await enter(stream, options.exportName, noZeroes)), headers, contexts };
}

/** The richest form that the server has. */
export async function chooseHeaders(stream: HandshakeStream, extended: boolean): Promise<Headers> {
  if (extended && (await has(stream, NBD_OPT_EXTENDED_HEADERS))) return 'extended';
  return (await has(stream, NBD_OPT_STRUCTURED_REPLY)) ? 'structured' : 'simple';
}

async function has(stream: HandshakeStream, option: number): Promise<boolean> {
  const refusal = await ask(stream, option);
  // A server that demands TLS refuses every option for this one reason.
  if (refusal?.reply === 'NBD_REP_ERR_TLS_REQD') throw refused(refusal, 'to go on in plain text');
  return refusal === undefined;
}

/** A refusal leaves no context: the caller learns of it from what was granted. */
async function setMetaContexts(stream: HandshakeStream, options: NegotiateOptions): Promise<MetaContext[]> {
  const { exportName, metaContexts } = options;
  if (metaContexts.length > MAX_CONTEXTS) {
    throw new NbdError('USAGE', `${metaContexts.length} meta contexts asked for; at most ${MAX_CONTEXTS} are possible`);
  }
  const contexts: MetaContext[] = [];
  const onReply = (type: number, reply: Uint8Array) => {
    if (type !== NBD_REP_META_CONTEXT) throw unexpected(NBD_OPT_SET_META_CONTEXT, type);
    const context = decodeMetaContext(reply);
    if (contexts.some(({ id, name }) => id === context.id || name === context.name)) {
      throw new NbdError('PROTOCOL', `the NBD server granted the meta context ${printable(context.name)} twice`);
    }
    contexts.push(context);
    if (contexts.length > MAX_CONTEXTS) throw new NbdError('PROTOCOL', 'the NBD server granted too many meta contexts');
  };
  const data = encodeMetaContextRequest({ exportName, queries: metaContexts });
  const refusal = await ask(stream, NBD_OPT_SET_META_CONTEXT, { data, onReply });
  if (refusal !== undefined) return [];
  const rank = ({ name }: MetaContext) => metaContexts.indexOf(name) + 1 || MAX_CONTEXTS + 1;
  return contexts.sort((a, b) => rank(a) - rank(b));
}

async function enter(stream: HandshakeStream, exportName: string, noZeroes: boolean): Promise<ExportDetails> {
  const answer = await askForExport(stream, NBD_OPT_GO, exportName);
  if (!('reply' in answer)) return answer;
  if (answer.reply !== 'NBD_REP_ERR_UNSUP') throw refused(answer, exportTitle(exportName));
  stream.send(encodeOption(NBD_OPT_EXPORT_NAME, encodeExportName(exportName)));
  const bytes = await stream.read(exportNameReplyLength(noZeroes)).catch((cause: unknown) => {
    // This option has no error reply: an old server that does not know the name can only hang up.
    if (!(cause instanceof NbdError) || cause.code !== 'HANDSHAKE') throw cause;
    const message = `the NBD server closed the connection when asked for ${exportTitle(exportName)}`;
    throw new NbdError('HANDSHAKE', `${message}: it probably has no such export; check the name`, { cause });
  });
  return { ...decodeExportNameReply(bytes), blockSize: DEFAULT_BLOCK_SIZE };
}

/** "Size constraints" of a server that tells none. */
const DEFAULT_BLOCK_SIZE: BlockSize = { minimum: 1, preferred: 4096, maximum: NBD_DEFAULT_MAX_PAYLOAD };

/** Asks NBD_OPT_GO, which enters the export, or NBD_OPT_INFO, which does not. */
export async function askForExport(
  stream: HandshakeStream,
  option: typeof NBD_OPT_GO | typeof NBD_OPT_INFO,
  exportName: string,
): Promise<ExportDetails | Refusal> {
  const kinds = [NBD_INFO_BLOCK_SIZE, ...(option === NBD_OPT_INFO ? [NBD_INFO_NAME, NBD_INFO_DESCRIPTION] : [])];
  const details: Partial<ExportDetails> & Pick<ExportDetails, 'blockSize'> = { blockSize: DEFAULT_BLOCK_SIZE };
  const onReply = (type: number, reply: Uint8Array) => {
    if (type !== NBD_REP_INFO) throw unexpected(option, type);
    const info = decodeInfo(reply);
    if (info?.kind === NBD_INFO_EXPORT) Object.assign(details, { size: info.size, flags: info.flags });
    if (info?.kind === NBD_INFO_NAME) details.canonicalName = info.exportName;
    if (info?.kind === NBD_INFO_DESCRIPTION) details.description = info.description;
    if (info?.kind === NBD_INFO_BLOCK_SIZE) {
      details.blockSize = { minimum: info.minimum, preferred: info.preferred, maximum: info.maximum };
    }
  };
  const refusal = await ask(stream, option, { data: encodeInfoRequest({ exportName, kinds }), onReply });
  if (refusal !== undefined) return refusal;
  const { size, flags } = details;
  if (size === undefined || flags === undefined) {
    throw new NbdError('PROTOCOL', 'the NBD server accepted the export without telling its size');
  }
  return { ...details, size, flags };
}
