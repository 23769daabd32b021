/** Where a value stands in a document, and why it is refused. */
export class JsonShapeError extends Error {}

/**
 * A value of a parsed JSON document with the way to it, read strictly: every access says what it expects, and a value
 * of another shape, or a key that nobody knows, is refused with its place in the document.
 */
export class JsonValue {
  readonly #value: unknown;
  readonly #place: string;

  constructor(value: unknown, place = 'document') {
    this.#value = value;
    this.#place = place;
  }

  /** @throws JsonShapeError when the bytes are not UTF-8 or not JSON */
  static parse(bytes: Uint8Array): JsonValue {
    try {
      return new JsonValue(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)));
    } catch (cause) {
      throw new JsonShapeError('it is not JSON in UTF-8', { cause });
    }
  }

  refuse(expected: string): JsonShapeError {
    return new JsonShapeError(`${this.#place} should be ${expected}`);
  }

  get isNull(): boolean {
    return this.#value === null;
  }

  /** The object's values by key; all of `required` are there, and nothing but these and `optional`. */
  object(required: readonly string[], optional: readonly string[] = []): Fields {
    const value = this.#value;
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw this.refuse('an object');
    const entries = Object.entries(value);
    for (const [key] of entries) {
      if (!required.includes(key) && !optional.includes(key)) {
        throw new JsonShapeError(`${this.#place} has a key that this version does not know: ${key.slice(0, 80)}`);
      }
    }
    const fields = new Map(entries.map(([key, inner]) => [key, new JsonValue(inner, `${this.#place}.${key}`)]));
    for (const key of required) {
      if (!fields.has(key)) throw new JsonShapeError(`${this.#place} lacks the key ${key}`);
    }
    return new Fields(fields, this.#place);
  }

  list<T>(limit: number, read: (item: JsonValue) => T): T[] {
    const value: unknown = this.#value;
    if (!Array.isArray(value) || value.length > limit) throw this.refuse(`a list of at most ${limit}`);
    return value.map((item: unknown, index) => read(new JsonValue(item, `${this.#place}[${index}]`)));
  }

  /** @param limit most characters */
  text(limit = 1024): string {
    const value = this.#value;
    if (typeof value !== 'string' || value.length > limit) throw this.refuse(`a text of at most ${limit} characters`);
    return value;
  }

  match(pattern: RegExp, expected: string): string {
    const value = this.text();
    if (!pattern.test(value)) throw this.refuse(expected);
    return value;
  }

  /** A whole number from 0 to `most`. */
  count(most: number = Number.MAX_SAFE_INTEGER): number {
    const value = this.#value;
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0 || value > most) {
      throw this.refuse(`a whole number from 0 to ${most}`);
    }
    return value;
  }

  flag(): boolean {
    if (typeof this.#value !== 'boolean') throw this.refuse('true or false');
    return this.#value;
  }

  oneOf<T extends string>(known: readonly T[]): T {
    const found = known.find((item) => item === this.#value);
    if (found === undefined) throw this.refuse(`one of ${known.join(', ')}`);
    return found;
  }

  nullOr<T>(read: (value: JsonValue) => T): T | null {
    return this.isNull ? null : read(this);
  }
}

/** The values of an object. */
export class Fields {
  readonly #fields: ReadonlyMap<string, JsonValue>;
  readonly #place: string;

  constructor(fields: ReadonlyMap<string, JsonValue>, place: string) {
    this.#fields = fields;
    this.#place = place;
  }

  get(key: string): JsonValue {
    const value = this.#fields.get(key);
    if (value === undefined) throw new JsonShapeError(`${this.#place} lacks the key ${key}`);
    return value;
  }

  optional<T>(key: string, read: (value: JsonValue) => T): T | undefined {
    const value = this.#fields.get(key);
    return value === undefined ? undefined : read(value);
  }
}
