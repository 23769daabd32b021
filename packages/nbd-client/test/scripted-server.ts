import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { TLSSocket, type TLSSocketOptions } from 'node:tls';
import {
  type BlockSize,
  decodeExtendedRequest,
  decodeInfoRequest,
  decodeMetaContextRequest,
  decodeOptionHeader,
  decodeRequest,
  encodeExportNameReply,
  encodeGreeting,
  encodeInfo,
  encodeMetaContext,
  encodeOptionReply,
  NBD_CMD_DISC,
  NBD_CMD_WRITE,
  NBD_FLAG_HAS_FLAGS,
  NBD_INFO_BLOCK_SIZE,
  NBD_INFO_EXPORT,
  NBD_OPT_ABORT,
  NBD_OPT_EXPORT_NAME,
  NBD_OPT_EXTENDED_HEADERS,
  NBD_OPT_GO,
  NBD_OPT_SET_META_CONTEXT,
  NBD_OPT_STARTTLS,
  NBD_OPT_STRUCTURED_REPLY,
  NBD_REP_ACK,
  NBD_REP_ERR_UNSUP,
  NBD_REP_INFO,
  NBD_REP_META_CONTEXT,
  type Request,
} from '@virtnbd/nbd-protocol';
import { type TempFolder, tempFolder } from '@virtnbd/test-kit';

/** What the server does where it is to differ from a well-behaved one. */
export interface Script {
  size?: number;
  /** In place of `size`, for each connection. */
  sizeOf?(): number;
  flags?: number;
  blockSize?: BlockSize;
  structured?: boolean;
  /** Extended headers; without them the option is unknown. */
  extended?: boolean;
  /** Context ids are 1, 2, … in this order. */
  contexts?: readonly string[];
  /** In place of the greeting. */
  greeting?: Uint8Array;
  /** In place of the answer to an option; undefined gives the ordinary one. */
  onOption?(option: number, data: Uint8Array): Uint8Array | undefined;
  /** Agrees to NBD_OPT_STARTTLS and goes on under TLS. Without it the option is unknown. */
  tls?: TLSSocketOptions;
  /** Told how many connections there were, this one included. */
  onConnection?(count: number): void;
  /** Changes the answer to an option before it is sent. */
  onAnswer?(option: number, answer: Uint8Array): Uint8Array;
  /** Ends each connection so long after it came. */
  hangUpAfterMs?: number;
  /** Ends the connection after the answer to this option. */
  hangUpAfter?: number;
  /** Sends the handshake byte by byte. */
  trickle?: boolean;
  /** Answers a request; the socket is there to split, hold back or end. */
  onRequest?(request: Request, socket: Socket, data: Uint8Array): void;
}

/** An NBD server that says what a test tells it to, on a unix socket of its own. */
export class ScriptedServer implements AsyncDisposable {
  readonly path: string;
  readonly requests: Request[] = [];
  readonly options: number[] = [];
  connections = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #folder: TempFolder;
  readonly #script: Script;

  private constructor(folder: TempFolder, script: Script) {
    this.#folder = folder;
    this.#script = script;
    this.path = join(folder.path, 'nbd.sock');
    this.#server = createServer((socket) => {
      this.connections++;
      this.#script.onConnection?.(this.connections);
      this.#sockets.add(socket);
      socket.on('error', () => {});
      const late = setTimeout(() => socket.destroy(), script.hangUpAfterMs ?? 2 ** 31 - 1);
      socket.on('close', () => {
        clearTimeout(late);
        this.#sockets.delete(socket);
      });
      this.#serve(socket).catch(() => socket.destroy());
    });
  }

  static async start(script: Script = {}): Promise<ScriptedServer> {
    const server = new ScriptedServer(await tempFolder('nbd-'), script);
    await new Promise<void>((resolve) => server.#server.listen(server.path, resolve));
    return server;
  }

  /** Open connections; 0 shows that a client left nothing behind. */
  get open(): number {
    return this.#sockets.size;
  }

  /** Ends all connections, as a server that dies does. */
  drop(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.drop();
    await new Promise((resolve) => this.#server.close(resolve));
    await this.#folder.remove();
  }

  async #serve(plain: Socket): Promise<void> {
    let socket = plain;
    let read = reader(socket);
    await this.#send(socket, this.#script.greeting ?? encodeGreeting(3));
    await read(4);
    let wide = false;
    while (true) {
      const { option, length } = decodeOptionHeader(await read(16));
      const data = await read(length);
      this.options.push(option);
      const usual = this.#script.onOption?.(option, data) ?? this.#answer(option, data);
      const answer = this.#script.onAnswer?.(option, usual) ?? usual;
      await this.#send(socket, answer);
      if (option === NBD_OPT_STARTTLS && this.#script.tls !== undefined && !isRefusal(answer)) {
        plain.removeAllListeners('data');
        socket = new TLSSocket(plain, { isServer: true, ...this.#script.tls });
        socket.on('error', () => plain.destroy());
        read = reader(socket);
      }
      if (option === NBD_OPT_EXTENDED_HEADERS) wide = !isRefusal(answer);
      if (option === NBD_OPT_ABORT || option === this.#script.hangUpAfter) return void socket.end();
      if (option === NBD_OPT_EXPORT_NAME || (option === NBD_OPT_GO && !isRefusal(answer))) break;
    }
    while (true) {
      const request = wide ? decodeExtendedRequest(await read(32)) : decodeRequest(await read(28));
      const data = await read(request.command === NBD_CMD_WRITE ? request.length : 0);
      this.requests.push(request);
      if (request.command === NBD_CMD_DISC) return void socket.end();
      this.#script.onRequest?.(request, socket, data);
    }
  }

  async #send(socket: Socket, bytes: Uint8Array): Promise<void> {
    if (this.#script.trickle !== true) return void socket.write(bytes);
    for (const byte of bytes) {
      await new Promise((resolve) => socket.write(Uint8Array.of(byte), resolve));
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  #answer(option: number, data: Uint8Array): Uint8Array {
    const {
      size = this.#script.sizeOf?.() ?? 1024 * 1024,
      flags = NBD_FLAG_HAS_FLAGS,
      structured = true,
      extended = false,
      contexts = [],
      blockSize,
    } = this.#script;
    const ack = encodeOptionReply(option, NBD_REP_ACK);
    if (option === NBD_OPT_STRUCTURED_REPLY && structured) return ack;
    if (option === NBD_OPT_EXTENDED_HEADERS && extended) return ack;
    if (option === NBD_OPT_STARTTLS && this.#script.tls !== undefined) return ack;
    if (option === NBD_OPT_SET_META_CONTEXT) {
      const { queries } = decodeMetaContextRequest(data);
      const granted = contexts
        .map((name, index) => ({ id: index + 1, name }))
        .filter(({ name }) => queries.includes(name));
      return Buffer.concat([
        ...granted.map((it) => encodeOptionReply(option, NBD_REP_META_CONTEXT, encodeMetaContext(it))),
        ack,
      ]);
    }
    if (option === NBD_OPT_GO) {
      decodeInfoRequest(data);
      const infos = [encodeInfo({ kind: NBD_INFO_EXPORT, size, flags })];
      if (blockSize !== undefined) infos.push(encodeInfo({ kind: NBD_INFO_BLOCK_SIZE, ...blockSize }));
      return Buffer.concat([...infos.map((info) => encodeOptionReply(option, NBD_REP_INFO, info)), ack]);
    }
    if (option === NBD_OPT_EXPORT_NAME) return encodeExportNameReply({ size, flags }, true);
    return option === NBD_OPT_ABORT ? ack : encodeOptionReply(option, NBD_REP_ERR_UNSUP);
  }
}

/** Whether an answer begins with one of NBD_REP_ERR_*. */
function isRefusal(answer: Uint8Array): boolean {
  return answer.byteLength >= 20 && ((answer[12] ?? 0) & 0x80) !== 0;
}

/** Reads exactly so many bytes of a socket; never settles once it has ended. */
function reader(socket: Socket): (length: number) => Promise<Buffer> {
  let buffered = Buffer.alloc(0);
  let wake = () => {};
  socket.on('data', (bytes: Buffer) => {
    buffered = Buffer.concat([buffered, bytes]);
    wake();
  });
  return async (length) => {
    while (buffered.byteLength < length) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    const taken = buffered.subarray(0, length);
    buffered = buffered.subarray(length);
    return taken;
  };
}
