import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import {
  type BlockSize,
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
  NBD_OPT_GO,
  NBD_OPT_SET_META_CONTEXT,
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
  flags?: number;
  blockSize?: BlockSize;
  structured?: boolean;
  /** Context ids are 1, 2, … in this order. */
  contexts?: readonly string[];
  /** In place of the greeting. */
  greeting?: Uint8Array;
  /** In place of the answer to an option; undefined gives the ordinary one. */
  onOption?(option: number, data: Uint8Array): Uint8Array | undefined;
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
      this.#sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => this.#sockets.delete(socket));
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

  async #serve(socket: Socket): Promise<void> {
    const read = reader(socket);
    await this.#send(socket, this.#script.greeting ?? encodeGreeting(3));
    await read(4);
    while (true) {
      const { option, length } = decodeOptionHeader(await read(16));
      const data = await read(length);
      this.options.push(option);
      const answer = this.#script.onOption?.(option, data) ?? this.#answer(option, data);
      await this.#send(socket, answer);
      if (option === NBD_OPT_ABORT) return void socket.end();
      if (option === NBD_OPT_EXPORT_NAME || (option === NBD_OPT_GO && !isRefusal(answer))) break;
    }
    while (true) {
      const request = decodeRequest(await read(28));
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
      size = 1024 * 1024,
      flags = NBD_FLAG_HAS_FLAGS,
      structured = true,
      contexts = [],
      blockSize,
    } = this.#script;
    const ack = encodeOptionReply(option, NBD_REP_ACK);
    if (option === NBD_OPT_STRUCTURED_REPLY && structured) return ack;
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
