import {
  decodeOptionHeader,
  encodeErrorReply,
  encodeOptionReply,
  NBD_OPT_EXPORT_NAME,
  NBD_REP_ERR_TOO_BIG,
  OPTION_HEADER_LENGTH,
  optionName,
} from '@virtnbd/nbd-protocol';
import type { Channel } from './channel.ts';
import { NbdServerError } from './errors.ts';

/** Data of an option that is taken in: a name and some fifteen long queries. */
const MAX_OPTION = 64 * 1024;
/** Longer data is not even passed over. */
const MAX_SKIPPED = 1024 * 1024;

/** An option as it came. */
export interface Option {
  readonly option: number;
  readonly data: Buffer;
}

/** Options in, replies out; bounds what a client may send. */
export class OptionStream {
  /** TLS puts another one in its place. */
  channel: Channel;

  constructor(channel: Channel) {
    this.channel = channel;
  }

  /** The next option that is short enough, the others being refused; undefined where the client has gone. */
  async next(): Promise<Option | undefined> {
    for (;;) {
      if (!(await this.channel.wait(OPTION_HEADER_LENGTH))) return undefined;
      const { option, length } = decodeHeader(this.channel.take(OPTION_HEADER_LENGTH));
      if (length > MAX_SKIPPED) throw handshakeError(`${optionName(option)} with ${length} bytes of data`);
      if (length <= MAX_OPTION) {
        return (await this.channel.wait(length)) ? { option, data: this.channel.take(length) } : undefined;
      }
      // The one option that cannot be refused.
      if (option === NBD_OPT_EXPORT_NAME) throw handshakeError('an export name that is far too long');
      if (!(await this.channel.skip(length))) return undefined;
      await this.refuse(option, NBD_REP_ERR_TOO_BIG, `at most ${MAX_OPTION} bytes are taken`);
    }
  }

  /** Gives undefined, so that a handler can end with it: the next option comes. */
  async reply(option: number, type: number, data?: Uint8Array): Promise<undefined> {
    await this.channel.send(encodeOptionReply(option, type, data));
  }

  refuse(option: number, type: number, message: string): Promise<undefined> {
    return this.reply(option, type, encodeErrorReply(message.slice(0, 1000)));
  }
}

function decodeHeader(bytes: Buffer): { option: number; length: number } {
  try {
    return decodeOptionHeader(bytes);
  } catch (cause) {
    throw handshakeError('what it sent is no option', cause);
  }
}

/** The client cannot be answered any more: its connection ends. */
export function handshakeError(what: string, cause?: unknown): NbdServerError {
  const details = cause === undefined ? {} : { cause };
  return new NbdServerError('PROTOCOL', `an NBD client broke the handshake: ${what}`, details);
}
