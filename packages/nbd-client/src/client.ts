import {
  type BlockSize,
  NBD_CMD_BLOCK_STATUS,
  NBD_CMD_FLAG_FUA,
  NBD_CMD_FLAG_NO_HOLE,
  NBD_CMD_FLUSH,
  NBD_CMD_READ,
  NBD_CMD_TRIM,
  NBD_CMD_WRITE,
  NBD_CMD_WRITE_ZEROES,
  NBD_FLAG_CAN_MULTI_CONN,
  NBD_FLAG_READ_ONLY,
  NBD_FLAG_SEND_FLUSH,
  NBD_FLAG_SEND_FUA,
  NBD_FLAG_SEND_TRIM,
  NBD_FLAG_SEND_WRITE_ZEROES,
} from '@virtnbd/nbd-protocol';
import { widen } from './alignment.ts';
import { openSession } from './connect.ts';
import { NbdError } from './errors.ts';
import { type ExtentRun, walkExtents } from './extents.ts';
import type { Session } from './handshake.ts';
import type { AbortOptions, ConnectOptions, ExtentsOptions, WriteOptions, WriteZeroesOptions } from './options.ts';
import { Pipeline } from './pipeline.ts';
import type { NbdAddress } from './transport.ts';

/** Reads and writes are cut to requests of this length: long enough to be fast, short enough to share the pipe. */
const PIECE = 512 * 1024;
/** Trim and write-zeroes carry no payload and may be longer. */
const RANGE_PIECE = 1024 * 1024 * 1024;

/**
 * A connection to one export of an NBD server, in the transmission phase.
 *
 * Any number of calls may be in flight; requests leave in the order of the calls, and the server may answer them in any
 * order. Offsets and lengths are bytes. Every method rejects with {@link NbdError}: `REQUEST` when the server fails that
 * one request, `PROTOCOL` or `CLOSED` when the connection has ended, `USAGE` or `UNSUPPORTED` without sending anything.
 */
export class NbdClient implements AsyncDisposable {
  /** Bytes in the export. */
  readonly size: number;
  readonly readOnly: boolean;
  /** Whether several connections may write to the export and see each other's data after a flush. */
  readonly canMultiConn: boolean;
  readonly canFlush: boolean;
  readonly canFua: boolean;
  readonly canTrim: boolean;
  readonly canWriteZeroes: boolean;
  /** The server's constraints, bytes: `minimum` is the alignment of requests, `maximum` the longest payload. */
  readonly blockSize: BlockSize;
  /** The meta contexts that the server granted, in the order in which they were asked for. */
  readonly metaContexts: readonly string[];
  readonly #session: Session;
  readonly #pipeline: Pipeline;
  readonly #piece: number;
  readonly #rangePiece: number;

  private constructor(session: Session, pipeline: Pipeline) {
    const has = (flag: number) => (session.flags & flag) !== 0;
    this.size = session.size;
    this.readOnly = has(NBD_FLAG_READ_ONLY);
    this.canMultiConn = has(NBD_FLAG_CAN_MULTI_CONN);
    this.canFlush = has(NBD_FLAG_SEND_FLUSH);
    this.canFua = has(NBD_FLAG_SEND_FUA);
    this.canTrim = has(NBD_FLAG_SEND_TRIM);
    this.canWriteZeroes = has(NBD_FLAG_SEND_WRITE_ZEROES);
    this.blockSize = session.blockSize;
    this.metaContexts = session.contexts.map(({ name }) => name);
    this.#session = session;
    this.#pipeline = pipeline;
    const { minimum, maximum } = session.blockSize;
    this.#piece = alignDown(Math.min(PIECE, maximum), minimum);
    this.#rangePiece = alignDown(RANGE_PIECE, minimum);
  }

  /**
   * Connects over a unix socket or TCP and enters the transmission phase by fixed newstyle negotiation.
   *
   * @throws NbdError `CONNECT`, `HANDSHAKE`, `TIMEOUT` or `PROTOCOL`; the signal's reason on abort
   */
  static async connect(address: NbdAddress, options: ConnectOptions = {}): Promise<NbdClient> {
    const { session, transport, received } = await openSession(address, options);
    return new NbdClient(session, new Pipeline(transport, session, received));
  }

  /**
   * Fills the buffer from the export. Long reads are cut; reads that are not aligned to the minimum block size are
   * widened. Until it settles the buffer belongs to the client; after that, on any outcome, it is not written any more.
   * When it rejects, the buffer's content is undefined.
   */
  async read(offset: number, buffer: Uint8Array, options: AbortOptions = {}): Promise<void> {
    const { minimum } = this.blockSize;
    this.#checkRange('read', offset, buffer.byteLength);
    if (buffer.byteLength === 0) return;
    if (offset % minimum === 0 && buffer.byteLength % minimum === 0) return this.#readAligned(offset, buffer, options);
    const parts = widen(offset, buffer.byteLength, minimum, this.size).map(async (part) => {
      const target = buffer.subarray(part.at, part.at + part.take);
      if (part.take === part.length) return this.#readAligned(part.offset, target, options);
      const block = new Uint8Array(part.length);
      await this.#readAligned(part.offset, block, options);
      target.set(block.subarray(part.skip, part.skip + part.take));
    });
    // All of them end before this does: a later one must not write into a buffer that was given back.
    const failed = (await Promise.allSettled(parts)).find((part) => part.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  async #readAligned(offset: number, buffer: Uint8Array, { signal }: AbortOptions): Promise<void> {
    const input = { command: NBD_CMD_READ, offset, length: buffer.byteLength, piece: this.#piece, buffer };
    await this.#pipeline.run(input, signal);
  }

  /**
   * Writes the data. It must not change until the call settles. After a failure the range holds old and new data in any
   * mixture. After an abort the server may still receive some of it, as the buffer is by then, and write it later: a range
   * is only known again after another write has resolved on a new connection.
   */
  async write(offset: number, data: Uint8Array, options: WriteOptions = {}): Promise<void> {
    const flags = this.#writeFlags('write', options);
    this.#checkWritable('write', offset, data.byteLength);
    if (data.byteLength === 0) return;
    const input = { command: NBD_CMD_WRITE, flags, offset, length: data.byteLength, piece: this.#piece, buffer: data };
    await this.#pipeline.run(input, options.signal);
  }

  /** Makes the range read as zeroes, without sending them. `UNSUPPORTED` where {@link canWriteZeroes} is false. */
  async writeZeroes(offset: number, length: number, options: WriteZeroesOptions = {}): Promise<void> {
    const flags = this.#writeFlags('write zeroes', options) | (options.noHole === true ? NBD_CMD_FLAG_NO_HOLE : 0);
    this.#checkWritable('write zeroes', offset, length);
    if (!this.canWriteZeroes) throw unsupported('write zeroes');
    if (length === 0) return;
    const input = { command: NBD_CMD_WRITE_ZEROES, flags, offset, length, piece: this.#rangePiece };
    await this.#pipeline.run(input, options.signal);
  }

  /** Tells the server that the range's content is not needed; what it reads as afterwards is undefined. */
  async trim(offset: number, length: number, options: WriteOptions = {}): Promise<void> {
    const flags = this.#writeFlags('trim', options);
    this.#checkWritable('trim', offset, length);
    if (!this.canTrim) throw unsupported('trim');
    if (length === 0) return;
    const input = { command: NBD_CMD_TRIM, flags, offset, length, piece: this.#rangePiece };
    await this.#pipeline.run(input, options.signal);
  }

  /** Resolves when every write that had resolved before the call is on stable storage. */
  async flush(options: AbortOptions = {}): Promise<void> {
    if (!this.canFlush) throw unsupported('flush');
    await this.#pipeline.run({ command: NBD_CMD_FLUSH, offset: 0, length: 0, piece: 1 }, options.signal);
  }

  /**
   * The status of a range, in order and without gaps, in batches of at most about 4096 runs; neighbours are never equal.
   * Memory is bounded by one reply of the server, whatever the number of extents.
   *
   * @throws NbdError `UNSUPPORTED` for a context that was not granted
   */
  async *extents(options: ExtentsOptions = {}): AsyncGenerator<ExtentRun[], void, void> {
    const { offset = 0, length = this.size - offset } = options;
    this.#checkRange('block status', offset, length);
    const contexts = (options.contexts ?? this.metaContexts).map((name) => this.#context(name));
    if (contexts.length === 0) throw unsupported('block status: no meta context was granted');
    const stop = new AbortController();
    const signal = options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal]);
    const query = async (start: number, bytes: number) => {
      const input = { command: NBD_CMD_BLOCK_STATUS, offset: start, length: bytes, piece: Number.MAX_SAFE_INTEGER };
      return (await this.#pipeline.run(input, signal)).status;
    };
    try {
      const range = { start: offset, end: offset + length };
      yield* walkExtents(query, contexts, range, { minimum: this.blockSize.minimum, size: this.size });
    } finally {
      stop.abort();
    }
  }

  /**
   * Ends the connection in good order: what is in flight is waited for, new calls are refused with `CLOSED`. A server that
   * does not end its side within five seconds is cut off. Never rejects; calling it again waits for the same end.
   */
  close(): Promise<void> {
    return this.#pipeline.close();
  }

  /** Ends the connection now. What is in flight fails with `CLOSED` and the reason as the cause of its cause. */
  destroy(reason?: Error): void {
    this.#pipeline.destroy(new NbdError('CLOSED', 'the NBD connection was given up', { cause: reason }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #context(name: string) {
    const context = this.#session.contexts.find((granted) => granted.name === name);
    if (context === undefined) throw unsupported(`the meta context ${name}`);
    return context;
  }

  #writeFlags(what: string, { fua = false }: WriteOptions): number {
    if (fua && !this.canFua) throw unsupported(`${what} with FUA`);
    return fua ? NBD_CMD_FLAG_FUA : 0;
  }

  #checkWritable(what: string, offset: number, length: number): void {
    const { minimum } = this.blockSize;
    if (this.readOnly) throw new NbdError('UNSUPPORTED', `${what}: the NBD export is read-only`, { offset, length });
    this.#checkRange(what, offset, length);
    if (offset % minimum !== 0 || length % minimum !== 0) {
      const message = `${what} at ${offset}, ${length} bytes: the NBD server takes only multiples of ${minimum}`;
      throw new NbdError('USAGE', message, { offset, length });
    }
  }

  #checkRange(what: string, offset: number, length: number): void {
    const valid = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0;
    if (!valid || length > this.size - offset) {
      const message = `${what} at ${offset}, ${length} bytes: outside the NBD export of ${this.size} bytes`;
      throw new NbdError('USAGE', message, { offset, length });
    }
  }
}

function unsupported(what: string): NbdError {
  return new NbdError('UNSUPPORTED', `the NBD server does not offer ${what}`);
}

function alignDown(value: number, alignment: number): number {
  return value - (value % alignment);
}
