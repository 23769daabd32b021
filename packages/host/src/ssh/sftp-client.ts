import type { Duplex, Readable, Writable } from 'node:stream';
import { MAX_PACKET, SftpProtocolError, SftpReader, SftpStatus, SftpType, SftpWriter } from './sftp-codec.ts';

export interface SftpReply {
  readonly type: number;
  readonly body: SftpReader;
}

/** A request that the server did not do. */
export class SftpError extends Error {
  override readonly name = 'SftpError';
  /** SSH_FX_… */
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** What the protocol is spoken over: the pipes of `ssh -s HOST sftp`. */
export interface SftpChannel {
  readonly stdin: Writable | Duplex;
  readonly stdout: Readable;
}

/** Requests to an SFTP server and their replies; any number may be under way. */
export class SftpClient {
  /** Names and versions of the server's extensions. */
  readonly extensions = new Map<string, string>();
  readonly #channel: SftpChannel;
  readonly #waiting = new Map<number, PromiseWithResolvers<SftpReply>>();
  readonly #ready = Promise.withResolvers<void>();
  #pending: Buffer = Buffer.alloc(0);
  #lastId = 0;
  #ended: unknown;

  /** @param reasonOfEnd why the channel ended, when it ends by itself */
  constructor(channel: SftpChannel, reasonOfEnd: () => unknown) {
    this.#channel = channel;
    this.#ready.promise.catch(() => undefined);
    const end = () => this.#fail(reasonOfEnd());
    channel.stdin.on('error', end);
    channel.stdout.on('error', end);
    channel.stdout.on('close', end);
    channel.stdout.on('data', (chunk: Buffer) => {
      try {
        this.#receive(chunk);
      } catch (error) {
        this.#fail(error);
      }
    });
    // INIT has its version where other packets have their id.
    channel.stdin.write(new SftpWriter().packet(SftpType.INIT, 3));
  }

  /** Resolves when the server has told its version. */
  async ready(): Promise<void> {
    await this.#ready.promise;
  }

  /** Sends a request. @throws SftpError when the reply is a status other than OK */
  async request(type: number, payload: SftpWriter): Promise<SftpReply> {
    if (this.#ended !== undefined) throw this.#ended;
    this.#lastId = (this.#lastId + 1) >>> 0;
    const id = this.#lastId;
    const settled = Promise.withResolvers<SftpReply>();
    this.#waiting.set(id, settled);
    this.#channel.stdin.write(payload.packet(type, id));
    const reply = await settled.promise;
    if (reply.type !== SftpType.STATUS) return reply;
    const status = reply.body.u32();
    if (status === SftpStatus.OK) return reply;
    throw new SftpError(status, reply.body.isAtEnd ? `status ${status}` : reply.body.text());
  }

  end(): void {
    this.#channel.stdin.end();
  }

  #receive(chunk: Buffer): void {
    this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    while (this.#pending.length >= 4) {
      const length = this.#pending.readUInt32BE();
      if (length < 5 || length > MAX_PACKET) throw new SftpProtocolError(`the server sent a packet of ${length} bytes`);
      if (this.#pending.length < 4 + length) return;
      this.#dispatch(this.#pending.subarray(4, 4 + length));
      this.#pending = this.#pending.subarray(4 + length);
    }
  }

  #dispatch(packet: Buffer): void {
    const type = packet.readUInt8();
    const id = packet.readUInt32BE(1);
    const body = new SftpReader(packet.subarray(5));
    if (type === SftpType.VERSION) {
      while (!body.isAtEnd) this.extensions.set(body.text(), body.text());
      if (id < 3) throw new SftpProtocolError(`the server speaks version ${id} of SFTP; 3 is needed`);
      this.#ready.resolve();
      return;
    }
    const settled = this.#waiting.get(id);
    if (settled === undefined) throw new SftpProtocolError(`the server answers a request ${id} that was not made`);
    this.#waiting.delete(id);
    settled.resolve({ type, body });
  }

  #fail(reason: unknown): void {
    this.#ended ??= reason;
    this.#ready.reject(this.#ended);
    for (const settled of this.#waiting.values()) settled.reject(this.#ended);
    this.#waiting.clear();
  }
}
