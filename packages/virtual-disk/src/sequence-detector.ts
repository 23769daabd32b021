/** Reads that come in parallel may overtake one another by this, in bytes. */
const SLACK = 4 * 1024 * 1024;
/** Reads in sequence after which the next one is expected to follow, too. */
const LEAST = 2;

/** Tells whether reads go through a disk from front to back, also when several are under way at a time. */
export class SequenceDetector {
  #end = 0;
  #count = 0;

  /** Takes note of a read. True when it goes on with those before it. */
  next(offset: number, length: number): boolean {
    const near = offset <= this.#end + SLACK && offset + length > this.#end - SLACK;
    const ahead = offset + length > this.#end;
    this.#count = near && ahead ? this.#count + 1 : near ? this.#count : 0;
    this.#end = near ? Math.max(this.#end, offset + length) : offset + length;
    return ahead && this.#count >= LEAST;
  }
}
