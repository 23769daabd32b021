import { readU64, viewOf, writeU64 } from './big-endian.ts';
import { Qcow2Error } from './errors.ts';

/*
 * The header (qcow2.txt, "Header"); all numbers are big-endian, lengths in bytes.
 *
 *     0  4  magic                     48  8  refcount table offset
 *     4  4  version                   56  4  refcount table clusters
 *     8  8  backing file offset       60  4  number of snapshots
 *    16  4  backing file size         64  8  snapshots offset
 *    20  4  cluster bits                     from version 3 on:
 *    24  8  size of the disk          72  8  incompatible features
 *    32  4  encryption method         80  8  compatible features
 *    36  4  entries of the L1 table   88  8  autoclear features
 *    40  8  L1 table offset           96  4  refcount order
 *                                    100  4  header length
 *
 * Behind it, at the header's length (72 in version 2), lie extensions: type and length of 4 bytes each, the data, padding to 8 bytes.
 * One of type 0 ends them.
 */
const MAGIC = 0x514649fb;
const VERSION_2_BYTES = 72;
const VERSION_3_BYTES = 104;
const EXTENDED_L2 = 1 << 4;
/** Of the incompatible features those that change nothing but the tables: another compression (of clusters that are not written here), subclusters. */
const WRITTEN_FEATURES = (1 << 3) | EXTENDED_L2;
/** The names of features, for messages. */
const FEATURE_NAMES = 0x6803f857;
const MIN_CLUSTER_BITS = 9;
const MAX_CLUSTER_BITS = 21;
/** With subclusters: each of the 32 has at least 512 bytes. */
const MIN_EXTENDED_BITS = 14;
const MAX_REFCOUNT_ORDER = 6;
/** QEMU opens no image whose L1 table is larger. */
const MAX_L1_BYTES = 32 << 20;

/** The bytes from the start of a file in which its header must lie whole; fewer where the file is shorter. */
export const HEADER_AREA = 64 << 10;

/** What the header of an image says of its tables. */
export interface Qcow2Header {
  readonly version: 2 | 3;
  /** Bytes of a cluster, 512 to 2 MiB. */
  readonly clusterBytes: number;
  /** Bytes of the disk. */
  readonly size: number;
  readonly l1Entries: number;
  /** 1 to 64. */
  readonly refcountBits: number;
  /** Each cluster has 32 subclusters, which are allocated one by one. */
  readonly extendedL2: boolean;
}

/**
 * Reads the header of an image without backing file, encryption, snapshots, bitmaps or data file.
 *
 * @param area the first HEADER_AREA bytes of the file, or all of it
 * @throws Qcow2Error BAD_HEADER; UNSUPPORTED
 */
export function readHeader(area: Uint8Array): Qcow2Header {
  const view = viewOf(area);
  if (area.length < VERSION_2_BYTES || view.getUint32(0) !== MAGIC) throw bad('it has no magic number');
  const version = view.getUint32(4);
  if (version !== 2 && version !== 3) throw unsupported(`version ${version}`);
  if (version === 3 && area.length < VERSION_3_BYTES) throw bad('it is cut short');
  if (readU64(view, 8) !== 0) throw unsupported('a backing file');
  if (view.getUint32(32) !== 0) throw unsupported('encryption');
  if (view.getUint32(60) !== 0) throw unsupported('snapshots');
  const header = version === 2 ? version2(view) : version3(view);
  requireExtensions(view, version === 2 ? VERSION_2_BYTES : view.getUint32(100));
  return requireSound(header);
}

/** The same header, for tables that lie elsewhere. Its bytes fill a cluster. */
export function headerCluster(
  area: Uint8Array,
  { clusterBytes }: Qcow2Header,
  places: { readonly l1Offset: number; readonly refcountOffset: number; readonly refcountClusters: number },
): Uint8Array {
  const cluster = new Uint8Array(clusterBytes);
  cluster.set(area.subarray(0, clusterBytes));
  const view = viewOf(cluster);
  writeU64(view, 40, places.l1Offset);
  writeU64(view, 48, places.refcountOffset);
  view.setUint32(56, places.refcountClusters);
  return cluster;
}

function version2(view: DataView): Qcow2Header {
  return { version: 2, ...sizes(view), refcountBits: 16, extendedL2: false };
}

function version3(view: DataView): Qcow2Header {
  const [high, low] = [view.getUint32(72), view.getUint32(76)];
  if (high !== 0 || (low & ~WRITTEN_FEATURES) !== 0)
    throw unsupported(`the incompatible features 0x${high.toString(16)}:${low.toString(16)}`);
  if (readU64(view, 88) !== 0) throw unsupported('autoclear features');
  const [order, headerBytes] = [view.getUint32(96), view.getUint32(100)];
  if (headerBytes < VERSION_3_BYTES) throw bad(`it says that it has ${headerBytes} bytes`);
  if (order > MAX_REFCOUNT_ORDER) throw bad(`its refcounts have 2^${order} bits`);
  return { version: 3, ...sizes(view), refcountBits: 1 << order, extendedL2: (low & EXTENDED_L2) !== 0 };
}

function sizes(view: DataView): Pick<Qcow2Header, 'clusterBytes' | 'size' | 'l1Entries'> {
  const bits = view.getUint32(20);
  if (bits < MIN_CLUSTER_BITS || bits > MAX_CLUSTER_BITS) throw bad(`its clusters have 2^${bits} bytes`);
  return { clusterBytes: 1 << bits, size: readU64(view, 24), l1Entries: view.getUint32(36) };
}

function requireSound(header: Qcow2Header): Qcow2Header {
  const { clusterBytes, size, l1Entries, extendedL2 } = header;
  if (extendedL2 && clusterBytes < 1 << MIN_EXTENDED_BITS) throw bad('its clusters are too small for subclusters');
  if (!Number.isSafeInteger(size)) throw bad('its disk has more than 2^53 bytes');
  const needed = Math.ceil(size / (clusterBytes * l2Entries(header)));
  if (l1Entries < needed) throw bad(`its L1 table has ${l1Entries} entries, and the disk needs ${needed}`);
  if (l1Entries * 8 > MAX_L1_BYTES) throw bad(`its L1 table has ${l1Entries} entries, more than QEMU reads`);
  return header;
}

/** An L2 table fills a cluster; with subclusters its entries have 16 bytes. */
export function l2Entries({ clusterBytes, extendedL2 }: Qcow2Header): number {
  return clusterBytes / (extendedL2 ? 16 : 8);
}

/** Extensions may name places in the file, which are others when it is written anew. Names of features do not. */
function requireExtensions(view: DataView, headerBytes: number): void {
  for (let at = headerBytes; ; ) {
    if (at + 8 > view.byteLength) throw bad('its extensions have no end');
    const [type, length] = [view.getUint32(at), view.getUint32(at + 4)];
    if (type === 0) return;
    if (type !== FEATURE_NAMES) throw unsupported(`the header extension 0x${type.toString(16)}`);
    at += 8 + Math.ceil(length / 8) * 8;
  }
}

function bad(why: string): Qcow2Error {
  return new Qcow2Error('BAD_HEADER', `this is no header of a qcow2 image: ${why}`);
}

function unsupported(what: string): Qcow2Error {
  return new Qcow2Error('UNSUPPORTED', `a qcow2 image with ${what} is not written here; let qemu-img write it`);
}
