import type { Random } from '@virtnbd/test-kit';

const HEADER = /(?:meta|data|zero|stop|comp) [0-9a-f]{16} [0-9a-f]{16}\r\n/g;
const BYTES = [
  0, 1, 0x0a, 0x0d, 0x20, 0x22, 0x2c, 0x30, 0x31, 0x39, 0x5b, 0x5d, 0x61, 0x66, 0x7b, 0x7d, 0x7f, 0x80, 0xff,
];
const NUMBERS = ['0', '1', '10', '4095', '65536', '67108865', '4294967296', '9007199254740991', '9007199254740992'];

type Mutation = (bytes: Buffer, random: Random, other: Buffer) => Buffer;

const place = (bytes: Buffer, random: Random) => random.integer(0, Math.max(0, bytes.length - 1));

/** Offsets of what looks like frame headers. */
function headers(bytes: Buffer): number[] {
  return Array.from(bytes.toString('latin1').matchAll(HEADER), (match) => match.index);
}

function splice(bytes: Buffer, from: number, remove: number, insert: Uint8Array): Buffer {
  return Buffer.concat([bytes.subarray(0, from), insert, bytes.subarray(from + remove)]);
}

const MUTATIONS: Mutation[] = [
  (bytes, random) => {
    const copy = Buffer.from(bytes);
    const at = place(bytes, random);
    if (copy.length > 0) copy[at] = (copy[at] ?? 0) ^ (1 << random.integer(0, 7));
    return copy;
  },
  (bytes, random) => splice(bytes, place(bytes, random), 1, Buffer.of(random.pick(BYTES))),
  (bytes, random) => bytes.subarray(0, random.integer(0, bytes.length)),
  (bytes, random) => splice(bytes, place(bytes, random), random.integer(1, 200), Buffer.alloc(0)),
  (bytes, random) => splice(bytes, place(bytes, random), 0, random.bytes(random.integer(1, 50))),
  (bytes, random) => {
    const from = place(bytes, random);
    return splice(bytes, place(bytes, random), 0, bytes.subarray(from, from + random.integer(1, 500)));
  },
  (bytes, random) => {
    const at = place(bytes, random);
    return splice(bytes, at, 40, Buffer.alloc(40, random.pick(BYTES)));
  },
  // A digit of a header.
  (bytes, random) => {
    const found = headers(bytes);
    if (found.length === 0) return bytes;
    const at = random.pick(found) + (random.boolean() ? 5 : 22) + random.integer(0, 15);
    return splice(bytes, at, 1, Buffer.from(random.pick([...'0123456789abcdefAg '])));
  },
  // A whole header in the place of another, or moved.
  (bytes, random) => {
    const found = headers(bytes);
    if (found.length === 0) return bytes;
    const from = random.pick(found);
    return splice(bytes, random.pick(found), random.boolean() ? 40 : 0, bytes.subarray(from, from + 40));
  },
  // A number of the JSON at the start or at the end.
  (bytes, random) => {
    const text = bytes.toString('latin1');
    const found = Array.from(text.matchAll(/(?<=[ [:])\d+/g)).filter(
      ({ index }) => index < 500 || index > text.length - 200,
    );
    if (found.length === 0) return bytes;
    const match = random.pick(found);
    return splice(bytes, match.index, match[0].length, Buffer.from(random.pick(NUMBERS)));
  },
  // The head of one file and the tail of another, at headers.
  (bytes, random, other) => {
    const [mine, theirs] = [headers(bytes), headers(other)];
    if (mine.length === 0 || theirs.length === 0) return bytes;
    return Buffer.concat([bytes.subarray(0, random.pick(mine)), other.subarray(random.pick(theirs))]);
  },
];

/** A damaged copy: one to four changes. */
export function mutate(bytes: Buffer, random: Random, other: Buffer): Buffer {
  let changed = bytes;
  for (let left = random.integer(1, 4); left > 0; left--) changed = random.pick(MUTATIONS)(changed, random, other);
  return Buffer.from(changed);
}
