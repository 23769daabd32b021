export {
  type BackupContext,
  type BackupLevel,
  type BackupRequest,
  type BackupResult,
  MAX_WORKERS,
  type NetworkTransfer,
  type RequestedLevel,
} from './context.ts';
export type { DiskSelection } from './disks.ts';
export { BackupError, type BackupErrorCode } from './errors.ts';
export { type BackupEvent, type BackupListener, type BackupStep, STEPS } from './events.ts';
export { runBackup } from './run.ts';
