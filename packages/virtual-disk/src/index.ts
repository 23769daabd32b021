export { VirtualDiskError, type VirtualDiskErrorCode } from './errors.ts';
export { type DiskExtent, type DiskLayer, type ReadOptions, VirtualDisk } from './virtual-disk.ts';
