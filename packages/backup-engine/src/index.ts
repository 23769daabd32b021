export {
  type BackupContext,
  type BackupLevel,
  type BackupRequest,
  type BackupResult,
  MAX_WORKERS,
  type NetworkTransfer,
  type RequestedLevel,
  type SkippedBackup,
} from './context.ts';
export { BackupError, type BackupErrorCode } from './errors.ts';
export { type BackupEvent, type BackupListener, type BackupStep, STEPS } from './events.ts';
export type { DiskSelection } from './plan/disks.ts';
export type { DiskEstimate } from './plan/estimate.ts';
export { type BackupForecast, forecastBackup } from './plan/forecast.ts';
export { runBackup } from './run.ts';
export { endBackupJob, type StartedJob, startBackupJob } from './side-jobs.ts';
