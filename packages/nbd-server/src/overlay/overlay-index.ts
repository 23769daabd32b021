/** Where a block's content is. */
export const BlockState = { base: 0, data: 1, zero: 2 } as const;
export type BlockState = (typeof BlockState)[keyof typeof BlockState];

/** What the directory says of a page. */
export const PageKind = { absent: 0, stored: 1, zero: 2 } as const;

/** Bytes of a block, the unit in which the overlay takes over from its base. */
export const BLOCK = 4096;
/** Bytes of a page of the index: two bits for each block. */
export const PAGE = 4096;
/** Blocks of a page: 64 MiB of the disk. */
export const BLOCKS_PER_PAGE = PAGE * 4;

/** Four blocks of one state. */
const UNIFORM: readonly number[] = [0x00, 0x55, 0xaa];
/** All zeroes, as after a discard of the whole disk: shared, never written to. */
const ZERO_PAGE = new Uint8Array(PAGE).fill(0xaa);

/** A run of blocks of one state; `end` is the first one behind. */
export interface BlockRun {
  readonly start: number;
  readonly end: number;
  readonly state: BlockState;
}

/** Pages to bring to the file, as they were at one moment. */
export interface IndexSnapshot {
  readonly pages: readonly { page: number; bytes: Uint8Array }[];
  /** Kinds of pages that changed. */
  readonly directory: readonly { page: number; kind: number }[];
}

/** The states of all blocks: memory only where something was written. */
export class OverlayIndex {
  readonly #pages = new Map<number, Uint8Array>();
  readonly #dirty = new Set<number>();
  /** What the file's directory says of pages that are not absent. */
  readonly #stored = new Map<number, number>();

  /** Puts in a page as it stands in the file. */
  load(page: number, kind: number, bytes: Uint8Array): void {
    this.#pages.set(page, kind === PageKind.zero ? ZERO_PAGE : bytes);
    this.#stored.set(page, kind);
  }

  state(block: number): BlockState {
    const bytes = this.#pages.get(Math.floor(block / BLOCKS_PER_PAGE));
    return bytes === undefined ? BlockState.base : stateIn(bytes, block % BLOCKS_PER_PAGE);
  }

  /** The block behind the last one that the file has; 0 where it has none. */
  get dataEnd(): number {
    const pages = [...this.#pages.keys()].sort((a, b) => b - a);
    for (const page of pages) {
      const bytes = this.#pages.get(page) ?? ZERO_PAGE;
      for (let block = BLOCKS_PER_PAGE - 1; bytes !== ZERO_PAGE && block >= 0; block--) {
        if (stateIn(bytes, block) === BlockState.data) return page * BLOCKS_PER_PAGE + block + 1;
      }
    }
    return 0;
  }

  set(start: number, end: number, state: BlockState): void {
    let block = start;
    while (block < end) {
      const page = Math.floor(block / BLOCKS_PER_PAGE);
      const stop = Math.min(end, (page + 1) * BLOCKS_PER_PAGE);
      this.#setInPage(page, block - page * BLOCKS_PER_PAGE, stop - page * BLOCKS_PER_PAGE, state);
      block = stop;
    }
  }

  /** The states of a range, in order; neighbours differ. */
  *runs(start: number, end: number): Generator<BlockRun> {
    let from = start;
    let state = this.state(start);
    let block = start;
    while (block < end) {
      const next = this.#uniformUntil(block);
      const now = this.state(block);
      if (now !== state) {
        yield { start: from, end: block, state };
        from = block;
        state = now;
      }
      block = next;
    }
    if (from < end) yield { start: from, end, state };
  }

  /** What has changed since the last call. */
  takeChanges(): IndexSnapshot {
    const pages: { page: number; bytes: Uint8Array }[] = [];
    const directory: { page: number; kind: number }[] = [];
    for (const page of this.#dirty) {
      const bytes = this.#pages.get(page) ?? new Uint8Array(PAGE);
      const kind = bytes === ZERO_PAGE ? PageKind.zero : PageKind.stored;
      if (kind === PageKind.stored) pages.push({ page, bytes: Uint8Array.from(bytes) });
      if (this.#stored.get(page) !== kind) directory.push({ page, kind });
      this.#stored.set(page, kind);
    }
    this.#dirty.clear();
    return { pages, directory };
  }

  #setInPage(page: number, start: number, end: number, state: BlockState): void {
    this.#dirty.add(page);
    if (state === BlockState.zero && start === 0 && end === BLOCKS_PER_PAGE) {
      this.#pages.set(page, ZERO_PAGE);
      return;
    }
    const known = this.#pages.get(page);
    const bytes = known === undefined || known === ZERO_PAGE ? Uint8Array.from(known ?? new Uint8Array(PAGE)) : known;
    this.#pages.set(page, bytes);
    for (let block = start; block < end; ) {
      if (block % 4 === 0 && end - block >= 4) {
        const last = end - (end % 4);
        bytes.fill(UNIFORM[state] ?? 0, block / 4, last / 4);
        block = last;
      } else {
        const shift = (block % 4) * 2;
        const index = block >> 2;
        bytes[index] = ((bytes[index] ?? 0) & ~(3 << shift)) | (state << shift);
        block++;
      }
    }
  }

  /** The first block behind this one that may have another state. */
  #uniformUntil(block: number): number {
    const page = Math.floor(block / BLOCKS_PER_PAGE);
    const bytes = this.#pages.get(page);
    if (bytes === undefined || bytes === ZERO_PAGE) return (page + 1) * BLOCKS_PER_PAGE;
    if (block % 4 !== 0) return block + 1;
    const value = bytes[(block % BLOCKS_PER_PAGE) / 4] ?? 0;
    return UNIFORM.includes(value) ? block + 4 : block + 1;
  }
}

function stateIn(bytes: Uint8Array, block: number): BlockState {
  const bits = ((bytes[block >> 2] ?? 0) >> ((block % 4) * 2)) & 3;
  return bits === BlockState.data || bits === BlockState.zero ? bits : BlockState.base;
}
