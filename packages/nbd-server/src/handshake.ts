import {
  CLIENT_FLAGS_LENGTH,
  CONTEXT_BASE_ALLOCATION,
  decodeClientFlags,
  decodeExportName,
  decodeInfoRequest,
  decodeMetaContextRequest,
  encodeExportNameReply,
  encodeGreeting,
  encodeInfo,
  encodeMetaContext,
  encodeServerReply,
  type Info,
  NBD_FLAG_C_FIXED_NEWSTYLE,
  NBD_FLAG_C_NO_ZEROES,
  NBD_FLAG_FIXED_NEWSTYLE,
  NBD_FLAG_NO_ZEROES,
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
  NBD_REP_ERR_TLS_REQD,
  NBD_REP_ERR_UNKNOWN,
  NBD_REP_ERR_UNSUP,
  NBD_REP_INFO,
  NBD_REP_META_CONTEXT,
  NBD_REP_SERVER,
  NbdCodecError,
} from '@virtnbd/nbd-protocol';
import type { Channel } from './channel.ts';
import { type ExportTable, type OpenExport, transmissionFlags } from './export-table.ts';
import { asksForAllocation } from './meta-contexts.ts';
import { handshakeError, type Option, OptionStream } from './option-stream.ts';
import { ALLOCATION_ID, type Headers, type Session } from './session.ts';

/** What the handshake of one connection needs from around it. */
export interface HandshakeContext {
  readonly exports: ExportTable;
  /** Turns the connection into an encrypted one; absent where the server has no certificate. */
  readonly secure?: () => Promise<Channel>;
  /** Hears of a source that cannot be opened. */
  readonly openFailed: (exportName: string, error: unknown) => void;
}

/** What an option leads to; undefined: the next option. */
type Outcome = Session | 'left' | undefined;

/** The server's side of fixed newstyle negotiation (proto.md, "Handshake"). With a certificate, nothing goes without TLS. */
export class Handshake {
  readonly #options: OptionStream;
  readonly #context: HandshakeContext;
  #noZeroes = false;
  #secured = false;
  #headers: Headers = 'simple';
  /** The export for which base:allocation was selected. */
  #selected: string | undefined;

  constructor(channel: Channel, context: HandshakeContext) {
    this.#options = new OptionStream(channel);
    this.#context = context;
  }

  /**
   * @returns null where the client leaves in good order
   * @throws NbdServerError `PROTOCOL` or `TLS`; the connection is of no use then
   */
  async run(): Promise<Session | null> {
    const { channel } = this.#options;
    await channel.send(encodeGreeting(NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES));
    if (!(await channel.wait(CLIENT_FLAGS_LENGTH))) return null;
    const flags = decodeClientFlags(channel.take(CLIENT_FLAGS_LENGTH));
    if ((flags & ~(NBD_FLAG_C_FIXED_NEWSTYLE | NBD_FLAG_C_NO_ZEROES)) !== 0) {
      throw handshakeError(`client flags 0x${(flags >>> 0).toString(16)}, of which some are unknown`);
    }
    this.#noZeroes = (flags & NBD_FLAG_C_NO_ZEROES) !== 0;
    for (;;) {
      const next = await this.#options.next();
      const outcome = next === undefined ? 'left' : await this.#take(next);
      if (outcome === 'left') return null;
      if (outcome !== undefined) return outcome;
    }
  }

  async #take({ option, data }: Option): Promise<Outcome> {
    if (option === NBD_OPT_EXPORT_NAME) return this.#exportName(data);
    if (option === NBD_OPT_ABORT) {
      await this.#options.reply(option, NBD_REP_ACK);
      return 'left';
    }
    if (this.#context.secure !== undefined && !this.#secured && option !== NBD_OPT_STARTTLS) {
      return this.#options.refuse(option, NBD_REP_ERR_TLS_REQD, 'this server speaks TLS only');
    }
    try {
      return await this.#answer(option, data);
    } catch (error) {
      // Data that breaks an option's layout is refused; the stream is still in step.
      if (error instanceof NbdCodecError) return this.#options.refuse(option, NBD_REP_ERR_INVALID, error.message);
      throw error;
    }
  }

  #answer(option: number, data: Buffer): Promise<Outcome> | Outcome {
    switch (option) {
      case NBD_OPT_LIST:
        return this.#list(data);
      case NBD_OPT_STARTTLS:
        return this.#startTls(data);
      case NBD_OPT_INFO:
      case NBD_OPT_GO:
        return this.#info(option, data);
      case NBD_OPT_STRUCTURED_REPLY:
      case NBD_OPT_EXTENDED_HEADERS:
        return this.#replyForm(option, data);
      case NBD_OPT_LIST_META_CONTEXT:
      case NBD_OPT_SET_META_CONTEXT:
        return this.#metaContext(option, data);
      default:
        return this.#options.refuse(option, NBD_REP_ERR_UNSUP, 'this server does not know the option');
    }
  }

  /** The old way in: there is no way to refuse but to end the connection. */
  async #exportName(data: Buffer): Promise<Outcome> {
    if (this.#context.secure !== undefined && !this.#secured) throw handshakeError('NBD_OPT_EXPORT_NAME without TLS');
    let name: string;
    try {
      name = decodeExportName(data);
    } catch (cause) {
      throw handshakeError('an export name that is no name', cause);
    }
    const open = await this.#open(name);
    if (open === undefined || open === 'failed') throw handshakeError(`no export ${JSON.stringify(name)}`);
    const flags = transmissionFlags(open, this.#headers !== 'simple');
    await this.#options.channel.send(encodeExportNameReply({ size: open.source.size, flags }, this.#noZeroes));
    return this.#session(open);
  }

  async #list(data: Buffer): Promise<Outcome> {
    if (data.byteLength > 0) return this.#options.refuse(NBD_OPT_LIST, NBD_REP_ERR_INVALID, 'it has no data');
    for (const entry of this.#context.exports.list()) {
      await this.#options.reply(NBD_OPT_LIST, NBD_REP_SERVER, encodeServerReply(entry));
    }
    return this.#options.reply(NBD_OPT_LIST, NBD_REP_ACK);
  }

  async #startTls(data: Buffer): Promise<Outcome> {
    const option = NBD_OPT_STARTTLS;
    const { secure } = this.#context;
    if (data.byteLength > 0) return this.#options.refuse(option, NBD_REP_ERR_INVALID, 'it has no data');
    if (secure === undefined) return this.#options.refuse(option, NBD_REP_ERR_POLICY, 'this server has no certificate');
    if (this.#secured) return this.#options.refuse(option, NBD_REP_ERR_INVALID, 'the connection is encrypted');
    // Bytes before the TLS handshake could be anybody's; nothing of what was agreed on in plain text is kept.
    if (!this.#options.channel.detach()) throw handshakeError('data between NBD_OPT_STARTTLS and its reply');
    await this.#options.reply(option, NBD_REP_ACK);
    this.#options.channel = await secure();
    this.#secured = true;
    return undefined;
  }

  async #info(option: number, data: Buffer): Promise<Outcome> {
    const { exportName, kinds } = decodeInfoRequest(data);
    const open = await this.#open(exportName);
    if (open === undefined) return this.#refuseUnknown(option, exportName);
    if (open === 'failed') return this.#options.refuse(option, NBD_REP_ERR_PLATFORM, 'the export cannot be opened');
    if (open.blockSize.minimum > 1 && !kinds.includes(NBD_INFO_BLOCK_SIZE)) {
      return this.#options.refuse(
        option,
        NBD_REP_ERR_BLOCK_SIZE_REQD,
        `blocks of ${open.blockSize.minimum} bytes at least`,
      );
    }
    const flags = transmissionFlags(open, this.#headers !== 'simple');
    const infos: Info[] = [
      { kind: NBD_INFO_EXPORT, size: open.source.size, flags },
      { kind: NBD_INFO_BLOCK_SIZE, ...open.blockSize },
    ];
    if (kinds.includes(NBD_INFO_NAME)) infos.push({ kind: NBD_INFO_NAME, exportName: open.name });
    if (kinds.includes(NBD_INFO_DESCRIPTION)) {
      infos.push({ kind: NBD_INFO_DESCRIPTION, description: open.description });
    }
    for (const info of infos) await this.#options.reply(option, NBD_REP_INFO, encodeInfo(info));
    await this.#options.reply(option, NBD_REP_ACK);
    return option === NBD_OPT_GO ? this.#session(open) : undefined;
  }

  #replyForm(option: number, data: Buffer): Promise<Outcome> {
    if (data.byteLength > 0) return this.#options.refuse(option, NBD_REP_ERR_INVALID, 'it has no data');
    const wanted = option === NBD_OPT_EXTENDED_HEADERS ? 'extended' : 'structured';
    if (this.#headers === wanted) return this.#options.refuse(option, NBD_REP_ERR_INVALID, 'it was agreed on already');
    if (this.#headers === 'extended') {
      return this.#options.refuse(option, NBD_REP_ERR_EXT_HEADER_REQD, 'extended headers were agreed on');
    }
    this.#headers = wanted;
    return this.#options.reply(option, NBD_REP_ACK);
  }

  async #metaContext(option: number, data: Buffer): Promise<Outcome> {
    const how = option === NBD_OPT_SET_META_CONTEXT ? 'set' : 'list';
    // A selection replaces the one before, also where it fails.
    if (how === 'set') this.#selected = undefined;
    const { exportName, queries } = decodeMetaContextRequest(data);
    if (how === 'set' && this.#headers === 'simple') {
      return this.#options.refuse(option, NBD_REP_ERR_INVALID, 'structured replies come first');
    }
    const open = await this.#open(exportName);
    if (open === undefined) return this.#refuseUnknown(option, exportName);
    if (open === 'failed') return this.#options.refuse(option, NBD_REP_ERR_PLATFORM, 'the export cannot be opened');
    if (open.source.extents !== undefined && asksForAllocation(queries, how)) {
      const contextId = how === 'set' ? ALLOCATION_ID : 0;
      await this.#options.reply(
        option,
        NBD_REP_META_CONTEXT,
        encodeMetaContext({ id: contextId, name: CONTEXT_BASE_ALLOCATION }),
      );
      if (how === 'set') this.#selected = exportName;
    }
    return this.#options.reply(option, NBD_REP_ACK);
  }

  #open(name: string): Promise<OpenExport | 'failed'> | undefined {
    return this.#context.exports.open(name)?.catch((error: unknown) => {
      this.#context.openFailed(name, error);
      return 'failed' as const;
    });
  }

  #session(open: OpenExport): Session {
    const allocation = this.#selected !== undefined && this.#context.exports.canonical(this.#selected) === open.name;
    return { open, headers: this.#headers, allocation, tls: this.#secured };
  }

  #refuseUnknown(option: number, name: string): Promise<undefined> {
    return this.#options.refuse(option, NBD_REP_ERR_UNKNOWN, `there is no export ${JSON.stringify(name)}`);
  }
}
