import {
  type BlockSize,
  NBD_CMD_BLOCK_STATUS,
  NBD_CMD_CACHE,
  NBD_CMD_FLAG_DF,
  NBD_CMD_FLAG_FAST_ZERO,
  NBD_CMD_FLAG_FUA,
  NBD_CMD_FLAG_NO_HOLE,
  NBD_CMD_FLAG_REQ_ONE,
  NBD_CMD_FLUSH,
  NBD_CMD_TRIM,
  NBD_CMD_WRITE,
  NBD_CMD_WRITE_ZEROES,
} from '@virtnbd/nbd-protocol';
import type { NbdAddress } from './address.ts';
import {
  type ExportInfo,
  type ExportInfoOptions,
  exportInfo,
  type ListedExport,
  listExports,
  listMetaContexts,
  type MetaContextsOptions,
} from './discover.ts';
import { NbdError } from './errors.ts';
import { type ExportProperties, exportProperties } from './export-properties.ts';
import { type ExtentRun, MAX_COMPACT_STATUS, walkExtents } from './extents.ts';
import { Lanes } from './lanes.ts';
import type {
  ConnectOptions,
  ExtentsOptions,
  HandshakeOptions,
  ReadOptions,
  RequestOptions,
  WriteOptions,
  WriteZeroesOptions,
} from './options.ts';
import { alignDown, checkAligned, checkRange, unsupported } from './range-check.ts';
import { BufferTarget, ListTarget } from './read-target.ts';
import { Reader } from './reader.ts';
import { type UriOptions, uriConnection } from './uri-connection.ts';

/** Writes are cut to requests of this length: long enough to be fast, short enough to share the pipe. */
const PIECE = 512 * 1024;
/** Trim and write-zeroes carry no payload and may be longer; as long as you like with extended headers. */
const RANGE_PIECE = 1024 * 1024 * 1024;
const EXTENDED_RANGE_PIECE = 2 ** 52;

/**
 * An export of an NBD server, in the transmission phase, over one connection or several.
 *
 * Any number of calls may be in flight; requests leave in the order of the calls, and the server may answer them in any
 * order. Offsets and lengths are bytes. Every method rejects with {@link NbdError}: `REQUEST` when the server fails that
 * one request, `TIMEOUT` when it takes too long, `PROTOCOL` or `CLOSED` when the connection has ended, `USAGE` or
 * `UNSUPPORTED` without sending anything.
 */
export class NbdClient implements ExportProperties, AsyncDisposable {
  readonly size: number;
  readonly readOnly: boolean;
  readonly rotational: boolean;
  readonly canMultiConn: boolean;
  readonly canFlush: boolean;
  readonly canFua: boolean;
  readonly canTrim: boolean;
  readonly canWriteZeroes: boolean;
  readonly canFastZero: boolean;
  readonly canCache: boolean;
  readonly canDontFragment: boolean;
  readonly blockSize: BlockSize;
  /** The meta contexts that the server granted, in the order in which they were asked for. */
  readonly metaContexts: readonly string[];
  /** Whether lengths and block status have 64 bits (NBD_OPT_EXTENDED_HEADERS). */
  readonly extendedHeaders: boolean;
  /** Connections that share the work. */
  readonly connections: number;
  readonly #lanes: Lanes;
  readonly #reader: Reader;
  readonly #contexts: ReadonlyMap<string, number>;

  private constructor(lanes: Lanes) {
    const { session } = lanes;
    const properties = exportProperties(session);
    this.size = properties.size;
    this.readOnly = properties.readOnly;
    this.rotational = properties.rotational;
    this.canMultiConn = properties.canMultiConn;
    this.canFlush = properties.canFlush;
    this.canFua = properties.canFua;
    this.canTrim = properties.canTrim;
    this.canWriteZeroes = properties.canWriteZeroes;
    this.canFastZero = properties.canFastZero;
    this.canCache = properties.canCache;
    this.canDontFragment = properties.canDontFragment;
    this.blockSize = properties.blockSize;
    this.metaContexts = session.contexts.map(({ name }) => name);
    this.extendedHeaders = session.headers === 'extended';
    this.connections = lanes.count;
    this.#contexts = new Map(session.contexts.map(({ id, name }) => [name, id]));
    this.#lanes = lanes;
    this.#reader = new Reader(lanes, properties);
  }

  /**
   * Connects and enters the transmission phase by fixed newstyle negotiation, encrypted where `tls` is given.
   *
   * @throws NbdError `CONNECT`, `HANDSHAKE`, `TLS`, `TIMEOUT` or `PROTOCOL`; the signal's reason on abort. Nothing stays open
   */
  static async connect(address: NbdAddress, options: ConnectOptions = {}): Promise<NbdClient> {
    return new NbdClient(await Lanes.open(address, options));
  }

  /**
   * Connects to what an NBD URI names: {@link parseNbdUri} has the forms. Certificates and keys that it names are read by
   * `readFile`.
   *
   * @throws NbdError `USAGE` for a URI that is none; otherwise as {@link connect}
   */
  static async connectUri(uri: string, options: UriOptions = {}): Promise<NbdClient> {
    const { address, exportName, tls } = await uriConnection(uri, options);
    return NbdClient.connect(address, { ...options, exportName, ...(tls !== undefined && { tls }) });
  }

  /**
   * The exports of a server, at most 10 000, as far as it likes to tell them (NBD_OPT_LIST).
   *
   * @throws NbdError `HANDSHAKE` where it does not; otherwise as {@link connect}
   */
  static list(address: NbdAddress, options: HandshakeOptions = {}): Promise<ListedExport[]> {
    return listExports(address, options);
  }

  /**
   * What an export is, without entering it (NBD_OPT_INFO).
   *
   * @throws NbdError `HANDSHAKE` where there is none, or the server has no such option; otherwise as {@link connect}
   */
  static info(address: NbdAddress, options: ExportInfoOptions = {}): Promise<ExportInfo> {
    return exportInfo(address, options);
  }

  /** The meta contexts that an export offers (NBD_OPT_LIST_META_CONTEXT); none where the server has no such option. */
  static listMetaContexts(address: NbdAddress, options: MetaContextsOptions = {}): Promise<string[]> {
    return listMetaContexts(address, options);
  }

  /**
   * Fills the buffer from the export. Long reads are cut; reads that are not aligned to the minimum block size are
   * widened. Until it settles the buffer belongs to the client; after that, on any outcome, it is not written any more.
   * When it rejects, the buffer's content is undefined.
   */
  read(offset: number, buffer: Uint8Array, options: ReadOptions = {}): Promise<void> {
    return this.#read(offset, buffer.byteLength, new BufferTarget(buffer, options.inPlace), options);
  }

  /** Like {@link read}, into several buffers: the range is as long as all of them, and fills one after the other. */
  readInto(offset: number, buffers: readonly Uint8Array[], options: ReadOptions = {}): Promise<void> {
    const length = buffers.reduce((sum, { byteLength }) => sum + byteLength, 0);
    return this.#read(offset, length, new ListTarget(buffers, options.inPlace), options);
  }

  async #read(offset: number, length: number, target: BufferTarget | ListTarget, options: ReadOptions): Promise<void> {
    checkRange('read', offset, length, this.size);
    if (options.dontFragment === true && !this.canDontFragment) throw unsupported('reads in one piece');
    if (length === 0) return;
    await this.#reader.read(offset, length, target, options.dontFragment === true ? NBD_CMD_FLAG_DF : 0, options);
  }

  /**
   * Writes the data. It must not change until the call settles. After a failure the range holds old and new data in any
   * mixture. After an abort or a time-out the server may still receive some of it, as the buffer is by then, and write it
   * later: a range is only known again after another write has resolved on a new connection.
   */
  async write(offset: number, data: Uint8Array, options: WriteOptions = {}): Promise<void> {
    const flags = this.#writeFlags('write', options);
    const length = data.byteLength;
    this.#checkWritable('write', offset, length);
    if (length === 0) return;
    const piece = alignDown(Math.min(PIECE, this.blockSize.maximum), this.blockSize.minimum);
    await this.#lanes.run({ command: NBD_CMD_WRITE, flags, offset, length, piece, data }, options);
  }

  /** Makes the range read as zeroes, without sending them. `UNSUPPORTED` where {@link canWriteZeroes} is false. */
  async writeZeroes(offset: number, length: number, options: WriteZeroesOptions = {}): Promise<void> {
    const { noHole = false, fastZero = false } = options;
    const more = (noHole ? NBD_CMD_FLAG_NO_HOLE : 0) | (fastZero ? NBD_CMD_FLAG_FAST_ZERO : 0);
    const flags = this.#writeFlags('write zeroes', options) | more;
    this.#checkWritable('write zeroes', offset, length);
    if (!this.canWriteZeroes) throw unsupported('write zeroes');
    if (fastZero && !this.canFastZero) throw unsupported('fast zeroes');
    await this.#runRange(NBD_CMD_WRITE_ZEROES, flags, offset, length, options);
  }

  /** Tells the server that the range's content is not needed; what it reads as afterwards is undefined. */
  async trim(offset: number, length: number, options: WriteOptions = {}): Promise<void> {
    const flags = this.#writeFlags('trim', options);
    this.#checkWritable('trim', offset, length);
    if (!this.canTrim) throw unsupported('trim');
    await this.#runRange(NBD_CMD_TRIM, flags, offset, length, options);
  }

  /** Tells the server that the range will be read soon. `UNSUPPORTED` where {@link canCache} is false. */
  async cache(offset: number, length: number, options: RequestOptions = {}): Promise<void> {
    checkRange('cache', offset, length, this.size);
    checkAligned('cache', offset, length, this.blockSize);
    if (!this.canCache) throw unsupported('cache');
    if (length === 0) return;
    // qemu takes no longer ones, although they have no payload.
    const piece = alignDown(this.blockSize.maximum, this.blockSize.minimum);
    await this.#lanes.run({ command: NBD_CMD_CACHE, offset, length, piece }, options);
  }

  /** Resolves when every write that had resolved before the call, on whichever connection, is on stable storage. */
  async flush(options: RequestOptions = {}): Promise<void> {
    if (!this.canFlush) throw unsupported('flush');
    await this.#lanes.run({ command: NBD_CMD_FLUSH, offset: 0, length: 0, piece: 1 }, options);
  }

  /**
   * The status of a range, in order and without gaps, in batches of at most about 4096 runs; neighbours are never equal.
   * Memory is bounded by one reply of the server, whatever the number of extents.
   *
   * @throws NbdError `UNSUPPORTED` for a context that was not granted
   */
  async *extents(options: ExtentsOptions = {}): AsyncGenerator<ExtentRun[], void, void> {
    const { offset = 0, length = this.size - offset, requestOne = false, timeoutMs } = options;
    checkRange('block status', offset, length, this.size);
    const contexts = (options.contexts ?? this.metaContexts).map((name) => this.#contextId(name));
    if (contexts.length === 0) throw unsupported('block status: no meta context was granted');
    const piece = Number.MAX_SAFE_INTEGER;
    const flags = requestOne ? NBD_CMD_FLAG_REQ_ONE : 0;
    const query = (start: number, bytes: number, signal: AbortSignal) => {
      const request = { signal, ...(timeoutMs !== undefined && { timeoutMs }) };
      const input = { command: NBD_CMD_BLOCK_STATUS, flags, offset: start, length: bytes, piece };
      return this.#lanes.run(input, request);
    };
    const longest = this.extendedHeaders ? this.size : MAX_COMPACT_STATUS;
    const block = { minimum: this.blockSize.minimum, size: this.size, longest };
    yield* walkExtents(query, contexts, { start: offset, end: offset + length }, { ...block, signal: options.signal });
  }

  /**
   * Ends the connection in good order: what is in flight is waited for, new calls are refused with `CLOSED`. A server that
   * does not end its side within five seconds is cut off. Never rejects; calling it again waits for the same end.
   */
  close(): Promise<void> {
    return this.#lanes.close();
  }

  /** Ends the connection now. What is in flight fails with `CLOSED` and the reason as the cause of its cause. */
  destroy(reason?: Error): void {
    this.#lanes.destroy(new NbdError('CLOSED', 'the NBD connection was given up', { cause: reason }));
  }

  /** {@link close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #runRange(
    command: number,
    flags: number,
    offset: number,
    length: number,
    options: RequestOptions,
  ): Promise<void> {
    if (length === 0) return;
    const piece = this.extendedHeaders ? EXTENDED_RANGE_PIECE : RANGE_PIECE;
    await this.#lanes.run({ command, flags, offset, length, piece }, options);
  }

  #contextId(name: string): number {
    const id = this.#contexts.get(name);
    if (id === undefined) throw unsupported(`the meta context ${name}`);
    return id;
  }

  #writeFlags(what: string, { fua = false }: WriteOptions): number {
    if (fua && !this.canFua) throw unsupported(`${what} with FUA`);
    return fua ? NBD_CMD_FLAG_FUA : 0;
  }

  #checkWritable(what: string, offset: number, length: number): void {
    if (this.readOnly) throw new NbdError('UNSUPPORTED', `${what}: the NBD export is read-only`, { offset, length });
    checkRange(what, offset, length, this.size);
    checkAligned(what, offset, length, this.blockSize);
  }
}
