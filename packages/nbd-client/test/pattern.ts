/** The content of nbdkit's pattern plugin: each 8 bytes hold their own offset, big-endian. */
export function pattern(offset: number, length: number): Buffer {
  const start = offset - (offset % 8);
  const words = Buffer.alloc(Math.ceil((offset + length - start) / 8) * 8);
  for (let at = 0; at < words.byteLength; at += 8) words.writeBigUInt64BE(BigInt(start + at), at);
  return words.subarray(offset - start, offset - start + length);
}
