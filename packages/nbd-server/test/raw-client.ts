import { connect, type Socket } from 'node:net';
import {
  decodeGreeting,
  decodeOptionReplyHeader,
  encodeClientFlags,
  encodeInfoRequest,
  encodeOption,
  GREETING_LENGTH,
  NBD_FLAG_C_FIXED_NEWSTYLE,
  NBD_FLAG_C_NO_ZEROES,
  NBD_OPT_GO,
  NBD_REP_ACK,
  OPTION_REPLY_HEADER_LENGTH,
} from '@virtnbd/nbd-protocol';

export const CLIENT_FLAGS = encodeClientFlags(NBD_FLAG_C_FIXED_NEWSTYLE | NBD_FLAG_C_NO_ZEROES);

export interface OptionReply {
  readonly option: number;
  readonly type: number;
  readonly data: Buffer;
}

/** A client that sends what it is told, also what no client should. */
export class RawClient implements Disposable {
  readonly socket: Socket;
  #chunks: Buffer = Buffer.alloc(0);
  #wake: (() => void) | undefined;
  #ended = false;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('error', () => {});
    socket.on('data', (bytes) => {
      this.#chunks = Buffer.concat([this.#chunks, bytes]);
      this.#wake?.();
    });
    socket.on('close', () => {
      this.#ended = true;
      this.#wake?.();
    });
  }

  static async connect(path: string): Promise<RawClient> {
    const socket = connect({ path });
    const client = new RawClient(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return client;
  }

  /** Through the greeting. */
  static async greeted(path: string): Promise<RawClient> {
    const client = await RawClient.connect(path);
    decodeGreeting(await client.read(GREETING_LENGTH));
    client.send(CLIENT_FLAGS);
    return client;
  }

  /** In the transmission phase, after these options. */
  static async opened(path: string, options: readonly number[] = [], exportName = ''): Promise<RawClient> {
    const client = await RawClient.greeted(path);
    for (const option of options) await client.option(option);
    await client.option(NBD_OPT_GO, encodeInfoRequest({ exportName, kinds: [] }));
    return client;
  }

  send(...pieces: readonly Uint8Array[]): void {
    this.socket.write(Buffer.concat(pieces));
  }

  /** Sends an option; all replies up to the last one. */
  async option(option: number, data?: Uint8Array): Promise<OptionReply[]> {
    this.send(encodeOption(option, data));
    return this.replies();
  }

  async replies(): Promise<OptionReply[]> {
    const replies: OptionReply[] = [];
    for (;;) {
      const header = decodeOptionReplyHeader(await this.read(OPTION_REPLY_HEADER_LENGTH));
      replies.push({ option: header.option, type: header.type, data: await this.read(header.length) });
      if (header.type === NBD_REP_ACK || header.type >= 0x80000000) return replies;
    }
  }

  async read(length: number): Promise<Buffer> {
    while (this.#chunks.byteLength < length) {
      if (this.#ended)
        throw new Error(`the server closed the connection: ${this.#chunks.byteLength} of ${length} bytes`);
      await this.#more();
    }
    const bytes = this.#chunks.subarray(0, length);
    this.#chunks = this.#chunks.subarray(length);
    return bytes;
  }

  /** Resolves when the server has ended the connection; what it sent before is dropped. */
  async ended(): Promise<void> {
    while (!this.#ended) await this.#more();
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }

  #more(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}
