/** Writes some of the chunks and says how many bytes; at `position`, or at the end of the file where that is null. */
export type WriteSome = (chunks: Uint8Array[], position: number | null) => Promise<number>;

// Linux takes at most 1024 pieces a call (IOV_MAX), and node (24) gives the number of bytes as 32 bits with a sign: a
// call of 2 GiB and more is written, but reported as negative.
const MAX_PIECES = 1024;
const MAX_BYTES = 1024 ** 3;

/**
 * Writes all chunks, at most 1 GiB a call, going on after short writes: on a nearly full disk the system takes a part,
 * and the next call tells why.
 */
export async function writeFully(
  writeSome: WriteSome,
  chunks: readonly Uint8Array[],
  position: number | null,
): Promise<void> {
  let pending = chunks.filter((chunk) => chunk.length > 0);
  let at = position;
  while (pending.length > 0) {
    const written = await writeSome(firstOf(pending), at);
    if (!(written > 0)) throw new Error('the system wrote nothing and gave no reason');
    if (at !== null) at += written;
    pending = dropBytes(pending, written);
  }
}

/** As many whole chunks as one call takes; of a very large one, its beginning. */
function firstOf(chunks: readonly Uint8Array[]): Uint8Array[] {
  const first: Uint8Array[] = [];
  let room = MAX_BYTES;
  for (const chunk of chunks.slice(0, MAX_PIECES)) {
    if (chunk.length > room) return first.length > 0 ? first : [chunk.subarray(0, room)];
    first.push(chunk);
    room -= chunk.length;
  }
  return first;
}

function dropBytes(chunks: readonly Uint8Array[], count: number): Uint8Array[] {
  let left = count;
  let index = 0;
  for (let chunk = chunks[index]; chunk !== undefined && left >= chunk.length; chunk = chunks[index]) {
    left -= chunk.length;
    index += 1;
  }
  const rest = chunks.slice(index);
  const first = rest[0];
  if (left > 0 && first !== undefined) rest[0] = first.subarray(left);
  return rest;
}
