import koffi from 'koffi';
import type { Address } from './signatures.ts';

/**
 * Takes over an array of object addresses that libvirt allocated: the addresses are returned, the array is freed. The
 * objects are the caller's to free.
 */
export function takeAddresses<H extends bigint>(array: Address | null, count: number): H[] {
  if (array === null) return [];
  const addresses: H[] = count === 0 ? [] : koffi.decode(array, 'void *', count);
  koffi.free(array);
  return addresses;
}
