export { type BackupSource, openBackupSource } from './backup-source.ts';
export type { ChainOptions } from './chain.ts';
export {
  checkpointFileName,
  readCheckpointFolder,
  readCheckpointList,
  type StoredCheckpoint,
  writeCheckpointList,
  writeCheckpointXml,
} from './checkpoint-files.ts';
export { type CheckpointDescription, describeCheckpoint } from './checkpoint-xml.ts';
export { BackupSetError, type BackupSetErrorCode, type BackupSetErrorFields } from './errors.ts';
export { type Intent, type JobTraces, readIntents, runDescription } from './intent.ts';
export type { Checked, OpenedDisk, OpenedLayer, OpenedRaw, OpenedStreams, OpenLayersOptions } from './layers.ts';
export type { OpenSetOptions } from './listing.ts';
export { FileLock, type LockOptions, type LockOwner, SetLock, VmLock } from './lock.ts';
export {
  type AdoptedFile,
  type CheckpointIdentity,
  type DomainIdentity,
  decodeManifest,
  encodeManifest,
  FILE_ROLES,
  type FileRole,
  type Manifest,
  type ManifestDisk,
  type ManifestFile,
  type Writer,
} from './manifest.ts';
export {
  assertSafeName,
  autostartName,
  bootFileName,
  CHECKPOINT_FOLDER,
  CHKSUM_SUFFIX,
  checkpointListName,
  checkpointNumber,
  chunkFileName,
  chunkFileNameOf,
  type DataFileInput,
  dataFileName,
  domainXmlName,
  guestInfoName,
  imageInfoName,
  intentName,
  isDiskName,
  isPointId,
  LEVELS,
  type Level,
  logFileName,
  manifestName,
  PARTIAL_SUFFIX,
  parseFileName,
  recoveryKeyName,
  SET_LOCK_NAME,
  type SetFile,
  tpmStateName,
  verdictName,
  vmLockName,
} from './names.ts';
export type { PointDisk, RecordedCheckpoint, RestorePoint, SetProblem, SetProblemCode } from './point.ts';
export type { Proof } from './proof.ts';
export { type CheckpointDuty, type RecoverOptions, type Recovery, recover } from './recover.ts';
export { type SalvagedLayer, SalvageSession } from './salvage.ts';
export { BackupSet } from './set.ts';
export { readHeaderKeys } from './stream-header.ts';
export { SetTransaction } from './transaction.ts';
export type { CommitInput, TransactionOptions, WrittenData } from './transaction-input.ts';
export type { TransactionPlan } from './transaction-plan.ts';
export { type BootVerdict, type PointVerdict, readVerdict, writeVerdict } from './verdict.ts';
