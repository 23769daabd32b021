import { alignedBuffer, type HostFile, PAGE_BYTES } from '@virtnbd/host';
import { allEnded } from '../all-ended.ts';
import type { DiskContent } from '../source/content.ts';
import { writing } from './write-errors.ts';

/** Bytes of the file that are gathered before they are written. Large: small writes are slow, in any number. */
const WINDOW = 2 << 20;
/** One that holds so much is written rather than that a piece is cut: pieces often are what is decompressed as a whole. */
const FULL_ENOUGH = 1 << 20;
/** Windows at once, one being gathered and the others under way: bounds the memory. */
const WINDOWS = 4;
/** Reads and writes of one window that are under way at once. */
const AT_ONCE = 16;

export interface WindowOptions {
  readonly signal?: AbortSignal | undefined;
  /** Told what `credit` was, when that is written. */
  readonly onBytes?: ((bytes: number) => void) | undefined;
  /** Told the bytes of each write to the file. */
  readonly onWritten?: ((bytes: number) => void) | undefined;
}

/** A stretch of the file in a window's buffer. */
interface Run {
  readonly offset: number;
  readonly at: number;
  end: number;
}

/** What the disk has to fill in a window's buffer. */
interface Gap {
  readonly at: number;
  readonly start: number;
  length: number;
}

interface Window {
  readonly buffer: Buffer;
  used: number;
  readonly runs: Run[];
  readonly gaps: Gap[];
}

/**
 * Writes pieces of a file that come in its order, from a disk's content or from bytes: in windows, of which several
 * are under way. Pieces need not touch; between them nothing is written, but where they start or end within a page the
 * rest of it is zeroed.
 */
export class FileWindows implements AsyncDisposable {
  readonly #content: DiskContent;
  readonly #file: HostFile;
  readonly #options: WindowOptions;
  readonly #free: Buffer[];
  /** Oldest first; each gives its buffer back. */
  readonly #underWay: Promise<Buffer>[] = [];
  #window: Window | undefined;
  #credit = 0;

  constructor(content: DiskContent, file: HostFile, options: WindowOptions = {}) {
    this.#content = content;
    this.#file = file;
    this.#options = options;
    const all = alignedBuffer(WINDOW * WINDOWS);
    this.#free = Array.from({ length: WINDOWS }, (_, number) => all.subarray(number * WINDOW, (number + 1) * WINDOW));
  }

  /** Puts what the disk holds at `start` to `offset` of the file; past the disk's end, zeroes. */
  async read(offset: number, start: number, length: number): Promise<void> {
    for (let done = 0; done < length; ) {
      const { window, at, room } = await this.#take(offset + done, length - done);
      const last = window.gaps.at(-1);
      const touches = last !== undefined && last.at + last.length === at && last.start + last.length === start + done;
      if (touches) last.length += room;
      else window.gaps.push({ at, start: start + done, length: room });
      done += room;
    }
  }

  /** Puts bytes to `offset` of the file; they may be changed once it resolves. */
  async copy(offset: number, bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      const { window, at, room } = await this.#take(offset + done, bytes.length - done);
      window.buffer.set(bytes.subarray(done, done + room), at);
      done += room;
    }
  }

  /** So many bytes of the disk's data are done when all that was given up to now is written. */
  credit(bytes: number): void {
    this.#credit += bytes;
  }

  /** Resolves when all is written; not synced. */
  async finish(): Promise<void> {
    this.#send();
    // One by one: what is not waited for here, after a failure, is when this is disposed of.
    while (this.#underWay.length > 0) await this.#underWay.shift();
    this.#options.signal?.throwIfAborted();
    if (this.#credit > 0) this.#options.onBytes?.(this.#credit);
    this.#credit = 0;
  }

  /** Waits for what is under way, whatever comes of it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.#underWay);
  }

  /** Room for what comes to `offset`, of `length` bytes or fewer. */
  async #take(offset: number, length: number): Promise<{ window: Window; at: number; room: number }> {
    const before = this.#window;
    const crowded = before !== undefined && WINDOW - before.used < length && before.used >= FULL_ENOUGH;
    if (before?.used === WINDOW || (crowded && before.used % PAGE_BYTES === 0)) this.#send();
    const window = this.#window ?? (await this.#begin());
    this.#window = window;
    const run = runAt(window, offset);
    const room = Math.min(length, WINDOW - window.used);
    const at = window.used;
    window.used += room;
    run.end = window.used;
    return { window, at, room };
  }

  async #begin(): Promise<Window> {
    this.#options.signal?.throwIfAborted();
    const buffer = this.#free.pop() ?? (await this.#underWay.shift());
    if (buffer === undefined) throw new RangeError('all windows are lost');
    return { buffer, used: 0, runs: [], gaps: [] };
  }

  #send(): void {
    if (this.#window === undefined) return;
    const written = this.#write(this.#window, this.#credit);
    // Who waits for it next hears of its failure.
    written.catch(() => undefined);
    this.#underWay.push(written);
    this.#window = undefined;
    this.#credit = 0;
  }

  async #write({ buffer, used, runs, gaps }: Window, credit: number): Promise<Buffer> {
    const { signal, onBytes, onWritten } = this.#options;
    await inGroups(gaps, (gap) => this.#fill(gap, buffer));
    const end = Math.ceil(used / PAGE_BYTES) * PAGE_BYTES;
    buffer.fill(0, used, end);
    await inGroups(runs, async (run) => {
      signal?.throwIfAborted();
      const bytes = buffer.subarray(run.at, run.end === used ? end : run.end);
      await writing(this.#file.path, () => this.#file.writeAt(run.offset, bytes));
      onWritten?.(bytes.length);
    });
    if (credit > 0) onBytes?.(credit);
    return buffer;
  }

  async #fill({ at, start, length }: Gap, buffer: Buffer): Promise<void> {
    const { signal } = this.#options;
    const there = Math.max(0, Math.min(length, this.#content.size - start));
    buffer.fill(0, at + there, at + length);
    if (there > 0) await this.#content.read(start, buffer.subarray(at, at + there), signal ? { signal } : {});
  }
}

/** The window's last run, if it ends at `offset`, or a new one. */
function runAt(window: Window, offset: number): Run {
  const last = window.runs.at(-1);
  if (last !== undefined && last.offset + last.end - last.at === offset) return last;
  // The window's end may be within a page only at the end of the file.
  if (window.used % PAGE_BYTES !== 0) throw new RangeError(`nothing was to come at ${offset} of the file`);
  const before = offset % PAGE_BYTES;
  window.buffer.fill(0, window.used, window.used + before);
  const run = { offset: offset - before, at: window.used, end: window.used + before };
  window.used = run.end;
  window.runs.push(run);
  return run;
}

/** Does something with all of them, some at a time. Nothing is under way when it settles. */
async function inGroups<T>(all: readonly T[], work: (each: T) => Promise<void>): Promise<void> {
  for (let first = 0; first < all.length; first += AT_ONCE) {
    await allEnded(all.slice(first, first + AT_ONCE).map(work));
  }
}
