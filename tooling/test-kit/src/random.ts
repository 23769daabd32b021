/** mulberry32: small, seeded, good enough to choose ranges and fill buffers; the same seed gives the same run. */
export class Random {
  readonly seed: number;
  private state: number;

  constructor(seed: number) {
    this.seed = seed >>> 0;
    this.state = this.seed;
  }

  /** 0 … 2^32 - 1 */
  uint32(): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = this.state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  }

  /** A whole number from `minimum` to `maximum`, both included; up to 2^53. */
  integer(minimum: number, maximum: number): number {
    const fraction = (this.uint32() * 0x200000 + (this.uint32() >>> 11)) / 2 ** 53;
    return minimum + Math.floor(fraction * (maximum - minimum + 1));
  }

  boolean(probability = 0.5): boolean {
    return this.uint32() < probability * 2 ** 32;
  }

  pick<T>(choices: readonly T[]): T {
    const value = choices[this.integer(0, choices.length - 1)];
    if (value === undefined && choices.length === 0) throw new RangeError('Nothing to pick from');
    return value as T;
  }

  /** Bytes that do not compress. */
  bytes(length: number): Uint8Array<ArrayBuffer> {
    const words = new Uint32Array(Math.ceil(length / 4));
    for (let i = 0; i < words.length; i++) words[i] = this.uint32();
    return new Uint8Array(words.buffer, 0, length);
  }

  /** A range inside [0, size): both ends multiples of `alignment`, at most `longest` bytes. */
  range(size: number, options: { alignment?: number; longest?: number } = {}): { offset: number; length: number } {
    const alignment = options.alignment ?? 512;
    const units = Math.floor(size / alignment);
    const longest = Math.max(1, Math.min(units, Math.floor((options.longest ?? size) / alignment)));
    const length = this.integer(1, longest);
    return { offset: this.integer(0, units - length) * alignment, length: length * alignment };
  }
}

/** VIRTNBD_SEED, or a new seed. */
export function seedFromEnvironment(): number {
  const text = process.env.VIRTNBD_SEED;
  if (text === undefined || text === '') return Math.floor(Math.random() * 2 ** 32);
  const seed = Number(text);
  if (!Number.isInteger(seed) || seed < 0 || seed >= 2 ** 32) {
    throw new RangeError(`VIRTNBD_SEED must be a whole number from 0 to 4294967295, not ${text}`);
  }
  return seed;
}

/** Runs a test with a seeded source of random numbers; a failure's message begins with the seed that repeats it. */
export async function withSeed<T>(body: (random: Random) => T | Promise<T>): Promise<T> {
  const seed = seedFromEnvironment();
  try {
    return await body(new Random(seed));
  } catch (error) {
    const hint = `VIRTNBD_SEED=${seed} repeats this`;
    if (error instanceof Error) {
      // Kept as the same object: vitest shows the differences of an assertion error.
      error.message = `${hint}: ${error.message}`;
      throw error;
    }
    throw new Error(hint, { cause: error });
  }
}
