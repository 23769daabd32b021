/**
 * Where the refcounts of a file lie in which every cluster is used once: blocks of them, one after the other, and behind
 * these the table that names the blocks.
 */
export interface RefcountPlaces {
  readonly blocks: number;
  /** Clusters of the table. */
  readonly tableClusters: number;
  /** Clusters of the whole file, the blocks and the table among them. */
  readonly clusters: number;
}

/** QEMU opens no image whose refcount table is larger, in bytes. */
const MAX_TABLE_BYTES = 8 << 20;

/** Clusters whose refcounts lie in one block: a block is a cluster. */
export function refcountsPerBlock(clusterBytes: number, refcountBits: number): number {
  return (clusterBytes * 8) / refcountBits;
}

/** The most clusters that a file can have. */
export function mostClusters(clusterBytes: number, refcountBits: number): number {
  return (MAX_TABLE_BYTES / 8) * refcountsPerBlock(clusterBytes, refcountBits);
}

/** The places of the refcounts behind `used` clusters: theirs, and their own. */
export function placeRefcounts(used: number, clusterBytes: number, refcountBits: number): RefcountPlaces {
  const perBlock = refcountsPerBlock(clusterBytes, refcountBits);
  for (let [blocks, tableClusters] = [1, 1]; ; ) {
    const clusters = used + blocks + tableClusters;
    const needed = Math.ceil(clusters / perBlock);
    const neededForTable = Math.ceil((needed * 8) / clusterBytes);
    if (needed === blocks && neededForTable === tableClusters) return { blocks, tableClusters, clusters };
    [blocks, tableClusters] = [needed, neededForTable];
  }
}

/**
 * Fills a block with `count` refcounts of 1, and zeroes behind them. Of refcounts with less than 8 bits the first one of
 * a byte stands in its lowest bits; wider ones are big-endian.
 */
export function fillRefcountBlock(block: Uint8Array, refcountBits: number, count: number): void {
  block.fill(0);
  if (refcountBits >= 8) {
    const bytes = refcountBits / 8;
    for (let end = bytes; end <= count * bytes; end += bytes) block[end - 1] = 1;
    return;
  }
  const perByte = 8 / refcountBits;
  // 0b11111111, 0b01010101 or 0b00010001
  const full = 0xff / ((1 << refcountBits) - 1);
  const whole = Math.floor(count / perByte);
  block.fill(full, 0, whole);
  const left = (count % perByte) * refcountBits;
  if (left > 0) block[whole] = full & ((1 << left) - 1);
}
