import koffi from 'koffi';
import type { Address } from './signatures.ts';

export type TypedValue = number | bigint | boolean | string;

// struct _virTypedParameter: 96 bytes
//   0  char field[80]   name, ends with NUL
//  80  int type         virTypedParameterType
//  88  union value      int, unsigned, long long, unsigned long long, double, char, char *
const SIZE = 96;
const TYPE_AT = 80;
const VALUE_AT = 88;

/** virTypedParameterType → how koffi reads the value. */
const READERS: Readonly<Record<number, string>> = {
  1: 'int',
  2: 'unsigned int',
  3: 'int64_t',
  4: 'uint64_t',
  5: 'double',
  6: 'int8_t',
  7: 'str',
};
const BOOLEAN = 6;

/** Reads an array of virTypedParameter into a map by name. The array stays the caller's to free. */
export function readTypedParameters(params: Address | null, count: number): Map<string, TypedValue> {
  const values = new Map<string, TypedValue>();
  if (params === null) return values;
  for (let index = 0; index < count; index += 1) {
    const at = params + BigInt(index * SIZE);
    const name: string = koffi.decode.string(at);
    const type: number = koffi.decode.int(at + BigInt(TYPE_AT));
    const reader = READERS[type];
    if (reader === undefined) continue; // a type that a newer libvirt brought: skip the value, keep the rest
    const value: TypedValue = koffi.decode(at + BigInt(VALUE_AT), reader);
    values.set(name, type === BOOLEAN ? value !== 0 : value);
  }
  return values;
}
