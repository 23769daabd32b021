import { once } from 'node:events';
import { PassThrough, Writable } from 'node:stream';
import type { ByteSink } from '@virtnbd/host';
import { ZipArchive } from 'archiver';

/** Bytes of an entry that may wait to be taken; the archive itself holds as much again. */
const WAITING = 1 << 20;

/** An entry that is being written. */
export interface ZipEntryWriter {
  /** Copies the bytes; resolves when there is room for more. */
  write(bytes: Uint8Array): Promise<void>;
  /** Resolves when the whole entry has been handed on. */
  close(): Promise<void>;
}

/**
 * Writes an uncompressed zip (zip64 where sizes need it) into a sink as the data comes: nothing is known ahead, so sizes and
 * CRC-32 follow each entry, and again in the directory at the end. One entry at a time.
 *
 * The first failure, of the sink or of `signal`, fails every call under way and every later one.
 */
export class ZipWriter {
  readonly #archive = new ZipArchive({ store: true, highWaterMark: WAITING });
  readonly #sink: ByteSink;
  readonly #ended: Promise<unknown>;
  readonly #failed = Promise.withResolvers<never>();
  readonly #letGo: () => void;
  #failure: { reason: unknown } | undefined;

  constructor(sink: ByteSink, signal?: AbortSignal) {
    this.#sink = sink;
    this.#failed.promise.catch(() => undefined);
    const fail = (reason: unknown) => this.#fail(reason);
    const target = new Writable({
      highWaterMark: WAITING,
      write: (chunk: Uint8Array, _encoding, done) => {
        sink.write(chunk).then(() => done(), done);
      },
    });
    target.on('error', fail);
    this.#archive.on('error', fail);
    this.#ended = once(target, 'finish');
    this.#ended.catch(() => undefined);
    this.#archive.pipe(target);
    const abort = () => fail(signal?.reason);
    signal?.addEventListener('abort', abort, { once: true });
    this.#letGo = () => signal?.removeEventListener('abort', abort);
    if (signal?.aborted) abort();
  }

  /** Begins an entry. The one before must be closed. */
  begin(name: string): ZipEntryWriter {
    const source = new PassThrough({ highWaterMark: WAITING });
    const added = once(this.#archive, 'entry');
    added.catch(() => undefined);
    this.#archive.append(source, { name, mode: 0o600 });
    return {
      write: async (bytes) => {
        this.#requireSound();
        // A copy: the caller's buffer is used again, and streams keep what they were given.
        if (!source.write(Uint8Array.from(bytes))) await this.#unlessFailed(once(source, 'drain'));
      },
      close: async () => {
        this.#requireSound();
        source.end();
        await this.#unlessFailed(added);
      },
    };
  }

  /** Adds a small file. */
  async add(name: string, data: Uint8Array): Promise<void> {
    const entry = this.begin(name);
    await entry.write(data);
    await entry.close();
  }

  /** Writes the directory. Resolves when the sink has everything, and says so. */
  async finish(): Promise<void> {
    this.#requireSound();
    await this.#unlessFailed(Promise.all([this.#archive.finalize(), this.#ended]));
    await this.#unlessFailed(this.#sink.finish());
    this.#letGo();
  }

  /** Ends an archive that is not complete; it has no directory then, and no program takes it for whole. */
  abandon(): void {
    this.#fail(new Error('the zip was given up'));
  }

  #fail(reason: unknown): void {
    if (this.#failure !== undefined) return;
    this.#failure = { reason };
    this.#failed.reject(reason);
    this.#letGo();
    this.#archive.abort();
    this.#sink.abandon();
  }

  #requireSound(): void {
    if (this.#failure !== undefined) throw this.#failure.reason;
  }

  async #unlessFailed(work: Promise<unknown>): Promise<void> {
    await Promise.race([work, this.#failed.promise]);
  }
}
