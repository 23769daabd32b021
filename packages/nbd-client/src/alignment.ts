/** A read on the wire, aligned to the server's minimum block size, and the bytes of it that were asked for. */
export interface AlignedPart {
  /** On the wire: bytes into the export, bytes. */
  offset: number;
  length: number;
  /** Bytes to skip at the start of what arrives. */
  skip: number;
  /** Where they go in the caller's buffer, and how many. */
  at: number;
  take: number;
}

/**
 * Widens a read to whole blocks ("Size constraints"): the aligned middle goes straight into the caller's buffer, the
 * partial blocks at either end are read whole.
 */
export function widen(offset: number, length: number, minimum: number, size: number): AlignedPart[] {
  const parts: AlignedPart[] = [];
  const end = offset + length;
  let position = offset;
  while (position < end) {
    const blockStart = position - (position % minimum);
    const lastStart = end - (end % minimum);
    const whole = position === blockStart && lastStart > position;
    // The last block of an export that ends within one cannot be asked for whole.
    const wireEnd = whole ? lastStart : Math.min(blockStart + minimum, size);
    const take = Math.min(end, wireEnd) - position;
    parts.push({
      offset: blockStart,
      length: wireEnd - blockStart,
      skip: position - blockStart,
      at: position - offset,
      take,
    });
    position += take;
  }
  return parts;
}
