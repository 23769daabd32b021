import {
  decodeErrorReply,
  decodeOptionReplyHeader,
  encodeOption,
  isErrorReply,
  NBD_REP_ACK,
  OPTION_REPLY_HEADER_LENGTH,
  optionName,
  optionReplyName,
} from '@virtnbd/nbd-protocol';
import { NbdError, printable } from './errors.ts';
import type { HandshakeStream } from './handshake-stream.ts';

/** Bytes of an option reply's data: the longest that is defined has two strings of 4096 bytes. */
const MAX_OPTION_REPLY = 16 * 1024;
/** Replies to one option, but for lists: NBD_OPT_GO has four kinds of information, contexts are few. */
const MAX_OPTION_REPLIES = 256;
/** Bytes of all replies to one option together. */
const MAX_OPTION_BYTES = 8 * 1024 * 1024;

/** Why the server does not do what an option asked for. */
export interface Refusal {
  /** Such as `NBD_REP_ERR_UNKNOWN`. */
  reply: string;
  /** The server's own words, or nothing. */
  message: string;
}

export interface AskOptions {
  data?: Uint8Array;
  /** Takes each reply before the last; one that is not expected throws. */
  onReply?: (type: number, data: Uint8Array) => void;
  maxReplies?: number;
}

/** Sends one option and reads its replies up to the last: an acknowledgement (undefined), or a refusal. */
export async function ask(
  stream: HandshakeStream,
  option: number,
  options: AskOptions = {},
): Promise<Refusal | undefined> {
  const { data, onReply, maxReplies = MAX_OPTION_REPLIES } = options;
  stream.send(encodeOption(option, data));
  let bytes = 0;
  for (let count = 0; count <= maxReplies; count++) {
    const header = decodeOptionReplyHeader(await stream.read(OPTION_REPLY_HEADER_LENGTH));
    if (header.option !== option) {
      const found = optionName(header.option);
      throw new NbdError('PROTOCOL', `the NBD server answered ${found} when asked ${optionName(option)}`);
    }
    if (header.length > MAX_OPTION_REPLY) {
      throw new NbdError('PROTOCOL', `the NBD server answered ${optionName(option)} with ${header.length} bytes`);
    }
    const reply = await stream.read(header.length);
    bytes += header.length;
    if (bytes > MAX_OPTION_BYTES) break;
    if (isErrorReply(header.type)) {
      return { reply: optionReplyName(header.type), message: printable(decodeErrorReply(reply)) };
    }
    if (header.type === NBD_REP_ACK) {
      if (header.length > 0) throw new NbdError('PROTOCOL', 'the NBD server sent an NBD_REP_ACK with data');
      return undefined;
    }
    if (onReply === undefined) throw unexpected(option, header.type);
    onReply(header.type, reply);
  }
  throw new NbdError('PROTOCOL', `the NBD server answers ${optionName(option)} without an end`);
}

export function unexpected(option: number, type: number): NbdError {
  return new NbdError('PROTOCOL', `the NBD server answered ${optionName(option)} with ${optionReplyName(type)}`);
}

/** @param what what was asked for, such as `the export "vda"` */
export function refused({ reply, message }: Refusal, what: string, code: 'HANDSHAKE' | 'TLS' = 'HANDSHAKE'): NbdError {
  const said = message === '' ? reply : `${message} (${reply})`;
  const advice = ADVICE.get(reply);
  const ending = advice === undefined ? '' : `; ${advice}`;
  return new NbdError(code, `the NBD server refuses ${what}: ${said}${ending}`, { reply });
}

export function exportTitle(exportName: string): string {
  return exportName === '' ? 'the default export' : `the export "${printable(exportName)}"`;
}

const ADVICE: ReadonlyMap<string, string> = new Map([
  ['NBD_REP_ERR_UNKNOWN', 'check the export name'],
  ['NBD_REP_ERR_TLS_REQD', 'it demands TLS: connect with the option tls, or an nbds URI'],
  ['NBD_REP_ERR_SHUTDOWN', 'it is shutting down'],
]);
