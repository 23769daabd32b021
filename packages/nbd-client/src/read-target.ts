/** Where the bytes of a read go: offsets are relative to the start of the read. */
export interface ReadTarget {
  set(bytes: Uint8Array, at: number): void;
  zero(at: number, end: number): void;
  /** Whether the socket may fill it itself. */
  readonly inPlace: boolean;
  /** The memory from there on, as far as it is in one piece. */
  view(at: number): Uint8Array;
}

/** One buffer. */
export class BufferTarget implements ReadTarget {
  readonly inPlace: boolean;
  readonly #buffer: Uint8Array;

  constructor(buffer: Uint8Array, inPlace = false) {
    this.#buffer = buffer;
    this.inPlace = inPlace;
  }

  view(at: number): Uint8Array {
    return this.#buffer.subarray(at);
  }

  set(bytes: Uint8Array, at: number): void {
    this.#buffer.set(bytes, at);
  }

  zero(at: number, end: number): void {
    this.#buffer.fill(0, at, end);
  }
}

/** Several buffers, one after the other. */
export class ListTarget implements ReadTarget {
  readonly inPlace: boolean;
  readonly #buffers: readonly Uint8Array[];
  /** Where each buffer begins. */
  readonly #starts: readonly number[];

  constructor(buffers: readonly Uint8Array[], inPlace = false) {
    const starts: number[] = [];
    let start = 0;
    for (const buffer of buffers) {
      starts.push(start);
      start += buffer.byteLength;
    }
    this.#buffers = buffers;
    this.#starts = starts;
    this.inPlace = inPlace;
  }

  view(at: number): Uint8Array {
    const index = this.#find(at);
    return this.#buffers[index]?.subarray(at - (this.#starts[index] ?? 0)) ?? new Uint8Array(0);
  }

  set(bytes: Uint8Array, at: number): void {
    let taken = 0;
    this.#each(at, at + bytes.byteLength, (buffer, from, to) => {
      buffer.set(bytes.subarray(taken, taken + to - from), from);
      taken += to - from;
    });
  }

  zero(at: number, end: number): void {
    this.#each(at, end, (buffer, from, to) => buffer.fill(0, from, to));
  }

  /** Calls with each buffer that has a part of the range, and that part. */
  #each(start: number, end: number, take: (buffer: Uint8Array, from: number, to: number) => void): void {
    for (let index = this.#find(start); index < this.#buffers.length; index++) {
      const buffer = this.#buffers[index];
      const first = this.#starts[index] ?? 0;
      if (buffer === undefined || first >= end) return;
      const from = Math.max(start, first) - first;
      const to = Math.min(end - first, buffer.byteLength);
      if (to > from) take(buffer, from, to);
    }
  }

  /** The last buffer that begins at or before the position. */
  #find(position: number): number {
    let low = 0;
    let high = this.#starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#starts[middle] ?? 0) <= position) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

/** A part of another target: what a longer read is split into. */
export class PartTarget implements ReadTarget {
  readonly #whole: ReadTarget;
  readonly #start: number;

  /** @param start where in the whole this part begins */
  constructor(whole: ReadTarget, start: number) {
    this.#whole = whole;
    this.#start = start;
  }

  get inPlace(): boolean {
    return this.#whole.inPlace;
  }

  view(at: number): Uint8Array {
    return this.#whole.view(this.#start + at);
  }

  set(bytes: Uint8Array, at: number): void {
    this.#whole.set(bytes, this.#start + at);
  }

  zero(at: number, end: number): void {
    this.#whole.zero(this.#start + at, this.#start + end);
  }
}
