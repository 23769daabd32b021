import { NbdError } from './errors.ts';
import type { Transport } from './transport.ts';

/** More than any server sends unasked; what comes above that is an attack or a fault. */
const MAX_BUFFERED = 1024 * 1024;

/** The handshake's view of the connection: send, then wait for exactly so many bytes. */
export class HandshakeStream {
  readonly #transport: Transport;
  #chunks: Uint8Array[] = [];
  #buffered = 0;
  #failure: NbdError | undefined;
  #wake: (() => void) | undefined;

  /** @param ended what a server means that closes the connection before the handshake is over */
  constructor(
    transport: Transport,
    ended: (cause: Error | undefined) => NbdError = (cause) =>
      new NbdError('HANDSHAKE', 'the NBD server closed the connection during the handshake', { cause }),
  ) {
    this.#transport = transport;
    transport.listen({
      data: (bytes) => {
        this.#buffered += bytes.byteLength;
        if (this.#buffered > MAX_BUFFERED) {
          transport.destroy();
          this.fail(new NbdError('PROTOCOL', 'the NBD server sent far more than was asked for during the handshake'));
        } else {
          this.#chunks.push(Uint8Array.from(bytes));
          this.#wake?.();
        }
      },
      drain: () => {},
      closed: (cause) => {
        this.fail(ended(cause));
      },
    });
  }

  send(bytes: Uint8Array): void {
    this.#transport.write([bytes]);
  }

  /** The next bytes, exactly as many. Rejects when the connection ends, and after {@link fail}. */
  async read(length: number): Promise<Uint8Array> {
    while (this.#buffered < length) {
      if (this.#failure !== undefined) throw this.#failure;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
    return this.#take(length);
  }

  /** Wakes a waiting {@link read} with an error. */
  fail(error: NbdError): void {
    this.#failure ??= error;
    this.#wake?.();
  }

  /** What has come and was not read: it belongs to the next phase. */
  rest(): Uint8Array {
    return this.#take(this.#buffered);
  }

  #take(length: number): Uint8Array {
    const all =
      this.#chunks.length === 1 && this.#chunks[0] !== undefined ? this.#chunks[0] : Buffer.concat(this.#chunks);
    this.#chunks = all.byteLength > length ? [all.subarray(length)] : [];
    this.#buffered = all.byteLength - length;
    return all.subarray(0, length);
  }
}
