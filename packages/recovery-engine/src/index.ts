export { BootedVm } from './boot/booted-vm.ts';
export { type CheckOptions, checkBoot } from './boot/check.ts';
export type { QemuUser } from './boot/qemu-user.ts';
export type { BootContext, BootEvent, BootRequest } from './boot/request.ts';
export type { NetworkChoice } from './boot/transient-xml.ts';
export { hasNbdDevices } from './device/nbd-devices.ts';
export { RecoveryError, type RecoveryErrorCode, type RecoveryErrorFields } from './errors.ts';
export { type CopyContext, type CopyProgress, type CopyRequest, type CopyResult, copyOut } from './files/copy-out.ts';
export type { GuestEntry, GuestKind } from './files/entries.ts';
export { type FileSystemChoice, type GuestFileSystem, nameOf } from './files/file-systems.ts';
export {
  type FoundEntry,
  GuestFiles,
  type GuestFilesContext,
  type GuestFilesRequest,
  type Listing,
} from './files/guest-files.ts';
export { type MappedExport, Mapping } from './map/mapping.ts';
export type { Attached } from './map/parts.ts';
export type { AttachRequest, MapContext, MapEvent, MapRequest } from './map/request.ts';
export { type DiskAtPoint, type OpenDiskOptions, openDiskAtPoint } from './serve/disk-at-point.ts';
export type { ServeEvent } from './serve/events.ts';
export { openFileChain } from './serve/file-chain.ts';
export { type FolderExportsOptions, folderExports } from './serve/folder-exports.ts';
export { guestfsUri } from './serve/guestfs-uri.ts';
export type { OverlayRequest } from './serve/overlay.ts';
export { type ExportRequest, RecoveryServer, type ServeContext, type ServeRequest } from './serve/server.ts';
