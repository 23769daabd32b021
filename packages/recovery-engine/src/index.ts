export { RecoveryError, type RecoveryErrorCode, type RecoveryErrorFields } from './errors.ts';
export { type DiskAtPoint, type OpenDiskOptions, openDiskAtPoint } from './serve/disk-at-point.ts';
export type { ServeEvent } from './serve/events.ts';
export { openFileChain } from './serve/file-chain.ts';
export { type FolderExportsOptions, folderExports } from './serve/folder-exports.ts';
export type { OverlayRequest } from './serve/overlay.ts';
export { type ExportRequest, RecoveryServer, type ServeContext, type ServeRequest } from './serve/server.ts';
