import { StreamFormatError } from '../errors.ts';

/*
 * A frame header (SPEC.md, "Frame header"), 40 bytes of ASCII:
 *
 *    0   4  kind: "meta", "data", "zero", "stop" or "comp"
 *    4   1  space
 *    5  16  start, lower-case hexadecimal, padded with zeroes
 *   21   1  space
 *   22  16  length, the same
 *   38   2  CR LF
 */

export const FRAME_HEADER_BYTES = 40;

/** Follows the payload of meta and data frames, and the JSON of the trailer. */
export const PAYLOAD_END = Uint8Array.of(0x0d, 0x0a);

export type FrameKind = 'meta' | 'data' | 'zero' | 'stop' | 'comp';

export interface FrameHeader {
  readonly kind: FrameKind;
  /** Start of the guest range, in bytes. */
  readonly start: number;
  /** Length of the guest range, or of the JSON in meta and comp, in bytes. */
  readonly length: number;
}

const SPACE = 0x20;
const CR = 0x0d;
const LF = 0x0a;

/** Kinds by their four letters read as a big-endian number. */
const KINDS = new Map<number, FrameKind>(
  (['meta', 'data', 'zero', 'stop', 'comp'] as const).map((kind) => [
    Buffer.from(kind, 'latin1').readUInt32BE(0),
    kind,
  ]),
);

/** Value of each lower-case hexadecimal digit by its character code; -1 for any other character. */
const HEX_DIGITS = new Int8Array(256).fill(-1);
for (let digit = 0; digit < 16; digit++) HEX_DIGITS[digit.toString(16).charCodeAt(0)] = digit;

/** The 40 bytes of a frame header. `start` and `length` are safe non-negative integers. */
export function encodeFrameHeader(kind: FrameKind, start: number, length: number): Uint8Array {
  const digits = (value: number) => value.toString(16).padStart(16, '0');
  return Buffer.from(`${kind} ${digits(start)} ${digits(length)}\r\n`, 'latin1');
}

/**
 * Decodes the frame header at `position` of `bytes`.
 *
 * @param fileOffset offset of the header in the file, for the error
 * @throws StreamFormatError BAD_FRAME_HEADER, or LIMIT when a number is not safe
 */
export function decodeFrameHeader(bytes: Uint8Array, position: number, fileOffset: number): FrameHeader {
  const kind = KINDS.get(
    (((at(bytes, position) << 24) | (at(bytes, position + 1) << 16) | (at(bytes, position + 2) << 8)) >>> 0) +
      at(bytes, position + 3),
  );
  if (
    kind === undefined ||
    bytes[position + 4] !== SPACE ||
    bytes[position + 21] !== SPACE ||
    bytes[position + 38] !== CR ||
    bytes[position + 39] !== LF
  ) {
    throw badHeader(bytes, position, fileOffset);
  }
  const start = decodeNumber(bytes, position + 5, position, fileOffset);
  const length = decodeNumber(bytes, position + 22, position, fileOffset);
  return { kind, start, length };
}

function decodeNumber(bytes: Uint8Array, digits: number, header: number, fileOffset: number): number {
  const high = decodeHalf(bytes, digits);
  const low = decodeHalf(bytes, digits + 8);
  if (high < 0 || low < 0) throw badHeader(bytes, header, fileOffset);
  if (high >= 2 ** 21) {
    throw new StreamFormatError('LIMIT', `The frame header at byte ${fileOffset} holds a number of 2^53 or more`, {
      fileOffset,
    });
  }
  return high * 2 ** 32 + low;
}

/** Eight hexadecimal digits as a number, or -1. */
function decodeHalf(bytes: Uint8Array, digits: number): number {
  let value = 0;
  for (let i = digits; i < digits + 8; i++) {
    const digit = HEX_DIGITS[at(bytes, i)] ?? -1;
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  return value;
}

function at(bytes: Uint8Array, position: number): number {
  return bytes[position] ?? 0;
}

function badHeader(bytes: Uint8Array, position: number, fileOffset: number): StreamFormatError {
  const seen = Buffer.from(bytes.subarray(position, position + FRAME_HEADER_BYTES)).toString('latin1');
  return new StreamFormatError(
    'BAD_FRAME_HEADER',
    `No frame header at byte ${fileOffset}, but ${JSON.stringify(seen)}: the file is damaged there or just before`,
    { fileOffset },
  );
}
