import { NbdServerError } from '../errors.ts';
import type { OverlayFile } from './overlay-file.ts';
import { decodeHeader, encodeHeader, HEADER, type Layout, layoutFor, malformed } from './overlay-format.ts';
import { BLOCK, type IndexSnapshot, OverlayIndex, PAGE, PageKind } from './overlay-index.ts';

/** Blocks and their index in an overlay's file. */
export class OverlayStore {
  readonly index: OverlayIndex;
  readonly #file: OverlayFile;
  readonly #layout: Layout;
  #syncing: Promise<void> = Promise.resolve();
  #failed: unknown;

  private constructor(file: OverlayFile, layout: Layout, index: OverlayIndex) {
    this.#file = file;
    this.#layout = layout;
    this.index = index;
  }

  /** @throws NbdServerError `USAGE` where the file has content: nothing is overwritten */
  static async create(file: OverlayFile, size: number, identity: string): Promise<OverlayStore> {
    const header = encodeHeader(size, identity);
    const found = await file.size();
    if (found > 0) throw new NbdServerError('USAGE', `a new overlay needs an empty file; this one has ${found} bytes`);
    const layout = layoutFor(size);
    await file.truncate(layout.data);
    await file.writeAt(0, header);
    await file.sync();
    return new OverlayStore(file, layout, new OverlayIndex());
  }

  /** @throws NbdServerError `OVERLAY_FORMAT`, or `OVERLAY_MISMATCH` where it belongs to another base */
  static async open(file: OverlayFile, size: number, identity: string): Promise<OverlayStore> {
    const fileSize = await file.size();
    if (fileSize < HEADER) throw malformed(`${fileSize} bytes`);
    const bytes = Buffer.alloc(HEADER);
    await file.read(0, bytes);
    const header = decodeHeader(bytes);
    if (header.size !== size || header.identity !== identity) {
      const [theirs, ours] = [header, { size, identity }].map((of) => `${of.identity || 'a disk'} (${of.size} bytes)`);
      throw new NbdServerError('OVERLAY_MISMATCH', `the overlay belongs to ${theirs}, not to ${ours}`);
    }
    const layout = layoutFor(size);
    checkLength(fileSize, layout.data);
    const index = await readIndex(file, layout);
    checkLength(fileSize, layout.data + Math.min(size, index.dataEnd * BLOCK));
    return new OverlayStore(file, layout, index);
  }

  /** @param offset bytes into the disk */
  read(offset: number, buffer: Uint8Array): Promise<void> {
    return this.#file.read(this.#layout.data + offset, buffer);
  }

  async write(offset: number, data: Uint8Array): Promise<void> {
    this.checkUsable();
    await this.#file.writeAt(this.#layout.data + offset, data);
  }

  /** @throws NbdServerError `OVERLAY_FAILED` after a sync that failed: what the file holds is not known any more */
  checkUsable(): void {
    if (this.#failed === undefined) return;
    const message = "the overlay's file could not be brought to stable storage";
    throw new NbdServerError('OVERLAY_FAILED', message, { cause: this.#failed });
  }

  /** Brings everything that was written before the call to stable storage. */
  sync(): Promise<void> {
    const done = this.#syncing.then(() => this.#sync());
    this.#syncing = done.catch(() => {});
    return done;
  }

  async close(): Promise<void> {
    try {
      if (this.#failed === undefined) await this.sync();
    } finally {
      await this.#file.close();
    }
  }

  async #sync(): Promise<void> {
    this.checkUsable();
    try {
      // The index as it is now: a block whose data comes after this is not in it, so it never names data that is not there.
      const { pages, directory } = this.index.takeChanges();
      await this.#file.sync();
      if (pages.length > 0) {
        for (const { page, bytes } of pages) await this.#file.writeAt(this.#layout.pages + page * PAGE, bytes);
        await this.#file.sync();
      }
      if (directory.length > 0) {
        for (const { page, kinds } of consecutive(directory)) {
          await this.#file.writeAt(this.#layout.directory + page, Uint8Array.from(kinds));
        }
        await this.#file.sync();
      }
    } catch (error) {
      this.#failed = error;
      throw error;
    }
  }
}

/** Zeroes over a whole disk change every page: that must not be a write for each. */
function consecutive(changes: IndexSnapshot['directory']): { page: number; kinds: number[] }[] {
  const runs: { page: number; kinds: number[] }[] = [];
  for (const { page, kind } of [...changes].sort((a, b) => a.page - b.page)) {
    const last = runs.at(-1);
    if (last !== undefined && last.page + last.kinds.length === page) last.kinds.push(kind);
    else runs.push({ page, kinds: [kind] });
  }
  return runs;
}

function checkLength(found: number, needed: number): void {
  if (found < needed) throw malformed(`it was cut short: ${found} bytes, of which ${needed} are needed`);
}

async function readIndex(file: OverlayFile, layout: Layout): Promise<OverlayIndex> {
  const index = new OverlayIndex();
  const directory = Buffer.alloc(layout.pageCount);
  if (directory.byteLength > 0) await file.read(layout.directory, directory);
  for (const [page, kind] of directory.entries()) {
    if (kind === PageKind.absent) continue;
    if (kind !== PageKind.stored && kind !== PageKind.zero) throw malformed(`a page of kind ${kind}`);
    const bytes = new Uint8Array(kind === PageKind.stored ? PAGE : 0);
    if (kind === PageKind.stored) await file.read(layout.pages + page * PAGE, bytes);
    index.load(page, kind, bytes);
  }
  return index;
}
