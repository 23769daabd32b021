export { VirtualDiskError, type VirtualDiskErrorCode } from './errors.ts';
export { type ByteRange, RangeList } from './range-list.ts';
export {
  type DiskExtent,
  type DiskLayer,
  type ReadOptions,
  VirtualDisk,
  type VirtualDiskOptions,
} from './virtual-disk.ts';
