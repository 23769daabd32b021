import { describe, expect, test } from 'vitest';
import { NbdCodecError } from '../src/index.ts';

/** What every fixed message must do: come back the same, and be refused when it is cut anywhere. */
export function describeMessage<T>(
  name: string,
  message: T,
  codec: { encode(message: T): Uint8Array; decode(bytes: Uint8Array): T },
) {
  const bytes = codec.encode(message);

  describe(name, () => {
    test('comes back as it was encoded', () => {
      expect(codec.decode(bytes)).toEqual(message);
    });

    test('is decoded in the middle of a larger buffer', () => {
      const larger = new Uint8Array(bytes.byteLength + 7);
      larger.set(bytes, 3);
      expect(codec.decode(larger.subarray(3, 3 + bytes.byteLength))).toEqual(message);
    });

    test('is refused when it is cut at any byte', () => {
      for (let length = 0; length < bytes.byteLength; length++) {
        expect(
          codeOf(() => codec.decode(bytes.subarray(0, length))),
          `cut to ${length}`,
        ).toMatch(/TRUNCATED|BAD_LENGTH/);
      }
    });
  });
}

/** The code of the NbdCodecError that the call throws; 'none' where it does not. */
export function codeOf(call: () => unknown): string {
  try {
    call();
    return 'none';
  } catch (error) {
    if (error instanceof NbdCodecError) return error.code;
    throw error;
  }
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
