import type { Amounts } from './folder-description.ts';
import { ratioOf } from './frame-stats.ts';

export const NO_AMOUNTS: Amounts = { fileBytes: 0, dataBytes: 0, zeroBytes: 0, storedBytes: 0, ratio: null };

/** The amounts alone. */
export function amountsOf(found: Amounts | undefined): Amounts {
  return {
    fileBytes: found?.fileBytes ?? 0,
    dataBytes: found?.dataBytes ?? 0,
    zeroBytes: found?.zeroBytes ?? 0,
    storedBytes: found?.storedBytes ?? 0,
    ratio: found?.ratio ?? null,
  };
}

export function sumOf(parts: readonly Amounts[]): Amounts {
  const sum = (key: 'fileBytes' | 'dataBytes' | 'zeroBytes' | 'storedBytes'): number =>
    parts.reduce((total, part) => total + part[key], 0);
  const dataBytes = sum('dataBytes');
  const storedBytes = sum('storedBytes');
  return {
    fileBytes: sum('fileBytes'),
    dataBytes,
    zeroBytes: sum('zeroBytes'),
    storedBytes,
    ratio: ratioOf(dataBytes, storedBytes),
  };
}
