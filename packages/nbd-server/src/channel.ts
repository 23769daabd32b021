import type { Duplex } from 'node:stream';

/** Unread bytes above which nothing more is taken from the socket. No message that is waited for whole is longer. */
const HIGH_WATER = 256 * 1024;

/** Bytes of a message up to where it waits for others that are ready at the same time. */
const SMALL_MESSAGE = 64 * 1024;

/** The bytes of a connection: waits for as many as a message needs, and stops reading where nobody asks for more. */
export class Channel {
  readonly #stream: Duplex;
  readonly #onData = (bytes: Buffer) => this.#receive(bytes);
  #chunks: Buffer[] = [];
  #first = 0;
  #buffered = 0;
  #needed = 0;
  #wake: (() => void) | undefined;
  #ended = false;
  #gathering = false;
  #error: Error | undefined;
  readonly closed: Promise<void>;

  constructor(stream: Duplex) {
    this.#stream = stream;
    this.closed = new Promise((resolve) => {
      const done = () => {
        this.#end();
        resolve();
      };
      if (stream.destroyed) done();
      stream.once('close', done);
    });
    stream.on('error', (error) => {
      this.#error ??= error;
    });
    stream.on('end', () => this.#end());
    stream.on('data', this.#onData);
  }

  /** Why the connection ended, where it was not in good order. */
  get error(): Error | undefined {
    return this.#error;
  }

  /** The other side sends nothing more. */
  get ended(): boolean {
    return this.#ended;
  }

  has(length: number): boolean {
    return this.#buffered >= length;
  }

  /** Resolves when so many bytes are there, at most {@link HIGH_WATER}; to false when the connection ends before. */
  async wait(length: number): Promise<boolean> {
    if (this.#buffered < length && !this.#ended) {
      this.#needed = length;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#buffered >= length;
  }

  /** The next bytes, of which `wait` or `has` has said that they are there. */
  take(length: number): Buffer {
    const chunk = this.#chunks[0];
    if (chunk !== undefined && chunk.byteLength - this.#first >= length) {
      const bytes = chunk.subarray(this.#first, this.#first + length);
      this.#consume(length);
      return bytes;
    }
    const bytes = Buffer.allocUnsafe(length);
    this.#copy(bytes);
    return bytes;
  }

  /** Fills the target, of any length. False when the connection ends before. */
  async fill(target: Uint8Array): Promise<boolean> {
    let at = 0;
    while (at < target.byteLength) {
      if (this.#buffered === 0 && !(await this.wait(1))) return false;
      at += this.#copy(target.subarray(at));
    }
    return true;
  }

  /** Passes over bytes, as many as you like. False when the connection ends before. */
  async skip(length: number): Promise<boolean> {
    let left = length;
    while (left > 0) {
      if (this.#buffered === 0 && !(await this.wait(1))) return false;
      const count = Math.min(left, this.#buffered);
      this.#consume(count);
      left -= count;
    }
    return true;
  }

  /**
   * Resolves when the system has taken the bytes; they must not change before. Rejects when the connection ends first. Small
   * messages of one turn of the event loop leave together: waking the other side for each costs more than they do.
   */
  send(bytes: Uint8Array): Promise<void> {
    if (!this.#gathering && bytes.byteLength <= SMALL_MESSAGE) {
      this.#gathering = true;
      this.#stream.cork();
      setImmediate(() => {
        this.#gathering = false;
        this.#stream.uncork();
      });
    }
    return new Promise((resolve, reject) => {
      this.#stream.write(bytes, (error) => (error ? reject(error) : resolve()));
    });
  }

  /** Stops reading and hands the stream over. @returns false where bytes had come that nobody asked for */
  detach(): boolean {
    this.#stream.off('data', this.#onData);
    this.#stream.pause();
    return this.#buffered === 0;
  }

  /** Wakes who waits, and takes nothing more: what is on its way out still leaves. */
  stopReading(): void {
    this.#stream.off('data', this.#onData);
    this.#chunks = [];
    this.#buffered = 0;
    this.#end();
    this.#stream.resume();
  }

  /** Sends what is queued, then ends the connection. */
  end(): void {
    this.#stream.end(() => this.#stream.destroy());
  }

  destroy(): void {
    this.#stream.destroy();
  }

  #receive(bytes: Buffer): void {
    this.#chunks.push(bytes);
    this.#buffered += bytes.byteLength;
    if (this.#buffered >= this.#needed) this.#wakeUp();
    if (this.#buffered > HIGH_WATER) this.#stream.pause();
  }

  #end(): void {
    this.#ended = true;
    this.#wakeUp();
  }

  #wakeUp(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }

  #copy(target: Uint8Array): number {
    let at = 0;
    while (at < target.byteLength) {
      const chunk = this.#chunks[0];
      if (chunk === undefined) break;
      const count = Math.min(chunk.byteLength - this.#first, target.byteLength - at);
      chunk.copy(target, at, this.#first, this.#first + count);
      this.#consume(count);
      at += count;
    }
    return at;
  }

  #consume(length: number): void {
    this.#buffered -= length;
    let left = length;
    while (left > 0) {
      const chunk = this.#chunks[0];
      if (chunk === undefined) break;
      const count = Math.min(chunk.byteLength - this.#first, left);
      this.#first += count;
      left -= count;
      if (this.#first === chunk.byteLength) {
        this.#chunks.shift();
        this.#first = 0;
      }
    }
    if (this.#buffered <= HIGH_WATER && this.#stream.isPaused() && !this.#ended) this.#stream.resume();
  }
}
