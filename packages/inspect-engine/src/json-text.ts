/** Text handed out at a time. */
const PIECE = 64 * 1024;

/**
 * A value as JSON, in pieces: lists of a million ranges never become one string. Objects that can be iterated are
 * written as lists, keys without a value are left out.
 */
export function* jsonText(value: unknown): Generator<string, void, undefined> {
  let text = '';
  for (const part of parts(value, '\n')) {
    text += part;
    if (text.length < PIECE) continue;
    yield text;
    text = '';
  }
  yield `${text}\n`;
}

function* parts(value: unknown, indent: string): Generator<string, void, undefined> {
  if (typeof value !== 'object' || value === null) {
    yield JSON.stringify(value) ?? 'null';
  } else if (Symbol.iterator in value && typeof value[Symbol.iterator] === 'function') {
    yield* list(value as Iterable<unknown>, indent);
  } else {
    yield* object(value, indent);
  }
}

function* list(items: Iterable<unknown>, indent: string): Generator<string, void, undefined> {
  let separator = '[';
  let inner = indent;
  for (const item of items) {
    // Numbers stand side by side, objects on lines of their own.
    const plain = typeof item !== 'object' || item === null;
    inner = plain ? '' : `${indent}  `;
    yield plain && separator !== '[' ? `${separator} ` : `${separator}${inner}`;
    yield* isSmall(item) ? [JSON.stringify(item)] : parts(item, `${indent}  `);
    separator = ',';
  }
  yield separator === '[' ? '[]' : `${inner === '' ? '' : indent}]`;
}

/** A range or the like: short enough for one line. */
function isSmall(item: unknown): boolean {
  if (typeof item !== 'object' || item === null || Symbol.iterator in item) return false;
  const values = Object.values(item);
  return values.length <= 6 && values.every((inner) => typeof inner !== 'object' || inner === null);
}

function* object(value: object, indent: string): Generator<string, void, undefined> {
  let separator = '{';
  for (const [key, inner] of Object.entries(value)) {
    if (inner === undefined) continue;
    yield `${separator}${indent}  ${JSON.stringify(key)}: `;
    yield* parts(inner, `${indent}  `);
    separator = ',';
  }
  yield separator === '{' ? '{}' : `${indent}}`;
}
