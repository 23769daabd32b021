import { viewOf, writeU64 } from './big-endian.ts';
import { Qcow2Error } from './errors.ts';
import { headerCluster, l2Entries, type Qcow2Header, readHeader } from './header.ts';
import { fillRefcountBlock, mostClusters, placeRefcounts, refcountsPerBlock } from './refcounts.ts';

/** A part of the image file. Offsets and lengths are bytes. */
export type ImagePiece =
  /** Holds what the disk has from `start`: whole clusters, of which the disk's last one may end past the disk. */
  | { readonly kind: 'guest'; readonly offset: number; readonly start: number; readonly length: number }
  /** Holds a table of the image; its bytes are good until the next piece is asked for. */
  | { readonly kind: 'table'; readonly offset: number; readonly bytes: Uint8Array };

/** The reference is the only one: the cluster may be written in place (qcow2.txt, "L1 table entry"). Bit 63. */
const COPIED = 0x80000000;
const SUBCLUSTERS = 32;

/**
 * Lays out an image: the pieces of its file, one behind the other without gaps. Behind the header's cluster come
 * the clusters of the disk that hold something, in their order, behind those of each L2 table the table itself, then the L1
 * table and the refcounts. The header, which makes an image of all this, is for the end.
 *
 * Needs memory for one L2 table and the L1 table (of at most 32 MiB), whatever the disk holds.
 */
export class Qcow2Layout {
  readonly header: Qcow2Header;
  /** Bytes: what is not placed reads as zero, in units of this size. A cluster, or a subcluster where the image has them. */
  readonly unit: number;
  readonly #area: Uint8Array;
  readonly #perTable: number;
  readonly #l1: Uint8Array;
  readonly #l2: Uint8Array;
  readonly #l2View: DataView;
  /** The number of the L2 table that is being filled; −1 before the first one. */
  #table = -1;
  /** The first cluster of the disk that has no place yet. */
  #next = 0;
  /** Clusters of the file that are taken, the header's among them. */
  #used = 1;
  #placed = 0;
  #ended: { readonly cluster: Uint8Array; readonly fileBytes: number } | undefined;

  /**
   * @param area the first HEADER_AREA bytes of an image that `qemu-img create` has made, or all of it. The image gets its
   *   size and its features.
   * @throws Qcow2Error BAD_HEADER; UNSUPPORTED when it is one of another kind
   */
  constructor(area: Uint8Array) {
    this.header = readHeader(area);
    const { clusterBytes, extendedL2, l1Entries } = this.header;
    this.unit = extendedL2 ? clusterBytes / SUBCLUSTERS : clusterBytes;
    this.#area = area;
    this.#perTable = l2Entries(this.header);
    this.#l1 = new Uint8Array(Math.ceil((l1Entries * 8) / clusterBytes) * clusterBytes);
    this.#l2 = new Uint8Array(clusterBytes);
    this.#l2View = viewOf(this.#l2);
  }

  /**
   * Gives a range of the disk its place. Ranges come in ascending order and do not overlap; several may share a cluster.
   *
   * @returns the pieces that this adds to the file
   * @throws Qcow2Error TOO_LARGE; RangeError for a range out of order or past the end
   */
  *place(start: number, length: number): Generator<ImagePiece> {
    const { clusterBytes, size } = this.header;
    if (start < this.#placed || length < 0 || start + length > size || this.#ended !== undefined)
      throw new RangeError(`${length} bytes at ${start} cannot be placed behind ${this.#placed} of ${size}`);
    if (length === 0) return;
    this.#placed = start + length;
    const end = Math.ceil((start + length) / clusterBytes);
    let cluster = Math.max(this.#next, Math.floor(start / clusterBytes));
    this.#requireRoom(end - cluster);
    this.#allocateUnits(start, length);
    while (cluster < end) {
      const table = Math.floor(cluster / this.#perTable);
      if (table !== this.#table) yield* this.#endTable();
      this.#table = table;
      const count = Math.min(end, (table + 1) * this.#perTable) - cluster;
      const offset = this.#take(count);
      this.#next = cluster + count;
      this.#enter(cluster, count, offset);
      this.#allocateUnits(start, length);
      yield { kind: 'guest', offset, start: cluster * clusterBytes, length: count * clusterBytes };
      cluster = this.#next;
    }
  }

  /**
   * Ends the image: nothing can be placed any more.
   *
   * @returns the last pieces of the file but the header
   * @throws Qcow2Error TOO_LARGE
   */
  *finish(): Generator<ImagePiece> {
    const { clusterBytes, refcountBits } = this.header;
    yield* this.#endTable();
    const l1Offset = this.#l1.length === 0 ? 0 : this.#take(this.#l1.length / clusterBytes);
    if (this.#l1.length > 0) yield { kind: 'table', offset: l1Offset, bytes: this.#l1 };
    const first = this.#used;
    const { blocks, tableClusters, clusters } = placeRefcounts(first, clusterBytes, refcountBits);
    this.#take(clusters - first);
    const perBlock = refcountsPerBlock(clusterBytes, refcountBits);
    const table = new Uint8Array(tableClusters * clusterBytes);
    const block = new Uint8Array(clusterBytes);
    fillRefcountBlock(block, refcountBits, perBlock);
    for (let number = 0; number < blocks; number++) {
      const offset = (first + number) * clusterBytes;
      writeU64(viewOf(table), number * 8, offset);
      if (number === blocks - 1) fillRefcountBlock(block, refcountBits, clusters - number * perBlock);
      yield { kind: 'table', offset, bytes: block };
    }
    const refcountOffset = (first + blocks) * clusterBytes;
    yield { kind: 'table', offset: refcountOffset, bytes: table };
    const places = { l1Offset, refcountOffset, refcountClusters: tableClusters };
    const cluster = headerCluster(this.#area, this.header, places);
    this.#ended = { cluster, fileBytes: clusters * clusterBytes };
  }

  /** The first cluster of the file, to be written when all else is. Known once `finish` has given its last piece. */
  get head(): Uint8Array {
    return this.#end.cluster;
  }

  /** Bytes of the whole file; known once `finish` has given its last piece. */
  get fileBytes(): number {
    return this.#end.fileBytes;
  }

  get #end(): { readonly cluster: Uint8Array; readonly fileBytes: number } {
    if (this.#ended === undefined) throw new RangeError('the image is not finished');
    return this.#ended;
  }

  /** Takes the next clusters of the file. @returns where they are, in bytes */
  #take(count: number): number {
    this.#requireRoom(count);
    const first = this.#used;
    this.#used += count;
    return first * this.header.clusterBytes;
  }

  #requireRoom(count: number): void {
    const { clusterBytes, refcountBits } = this.header;
    const most = mostClusters(clusterBytes, refcountBits);
    if (this.#used + count <= most) return;
    const text = `a qcow2 image with clusters of ${clusterBytes} bytes and refcounts of ${refcountBits} bits holds at most ${most} clusters; make them larger`;
    throw new Qcow2Error('TOO_LARGE', text);
  }

  /** Enters clusters of the present L2 table. */
  #enter(cluster: number, count: number, offset: number): void {
    const { clusterBytes, extendedL2 } = this.header;
    const bytes = extendedL2 ? 16 : 8;
    const first = cluster % this.#perTable;
    for (let number = 0; number < count; number++)
      writeU64(this.#l2View, (first + number) * bytes, offset + number * clusterBytes, COPIED);
  }

  /** Marks the subclusters of a range that lie in the present L2 table as allocated (qcow2.txt, "Extended L2 Entries"). */
  #allocateUnits(start: number, length: number): void {
    const { clusterBytes, extendedL2 } = this.header;
    if (!extendedL2 || this.#table < 0) return;
    const tableStart = this.#table * this.#perTable * clusterBytes;
    const from = Math.max(start, tableStart);
    const end = Math.min(start + length, this.#next * clusterBytes);
    for (let at = from - (from % clusterBytes); at < end; at += clusterBytes) {
      const first = Math.floor(Math.max(from - at, 0) / this.unit);
      const last = Math.ceil(Math.min(end - at, clusterBytes) / this.unit);
      const place = ((at - tableStart) / clusterBytes) * 16 + 12;
      this.#l2View.setUint32(place, (this.#l2View.getUint32(place) | bits(first, last)) >>> 0);
    }
  }

  *#endTable(): Generator<ImagePiece> {
    if (this.#table < 0) return;
    const offset = this.#take(1);
    writeU64(viewOf(this.#l1), this.#table * 8, offset, COPIED);
    yield { kind: 'table', offset, bytes: this.#l2 };
    this.#l2.fill(0);
    this.#table = -1;
  }
}

/** The bits from `first` up to but not `end`, of 32. */
function bits(first: number, end: number): number {
  return (2 ** end - 2 ** first) >>> 0;
}
