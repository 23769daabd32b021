export { type BackupSource, openBackupSource } from './backup-source.ts';
export { BackupSetError, type BackupSetErrorCode, type BackupSetErrorFields } from './errors.ts';
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
export type { ChainOptions } from './points/chain.ts';
export type { Checked, OpenedDisk, OpenedLayer, OpenedRaw, OpenedStreams, OpenLayersOptions } from './points/layers.ts';
export type { OpenSetOptions } from './points/listing.ts';
export type { PointDisk, RecordedCheckpoint, RestorePoint, SetProblem, SetProblemCode } from './points/point.ts';
export { type SalvagedLayer, SalvageSession } from './points/salvage.ts';
export { readHeaderKeys } from './points/stream-header.ts';
export {
  checkpointFileName,
  readCheckpointFolder,
  readCheckpointList,
  type StoredCheckpoint,
  writeCheckpointList,
  writeCheckpointXml,
} from './records/checkpoint-files.ts';
export { type CheckpointDescription, describeCheckpoint } from './records/checkpoint-xml.ts';
export { type Intent, type JobTraces, readIntents, runDescription } from './records/intent.ts';
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
} from './records/manifest.ts';
export type { Proof } from './records/proof.ts';
export { type BootVerdict, type PointVerdict, readVerdict, writeVerdict } from './records/verdict.ts';
export { BackupSet } from './set.ts';
export { FileLock, type LockOptions, type LockOwner, SetLock, VmLock } from './transaction/lock.ts';
export { type CheckpointDuty, type RecoverOptions, type Recovery, recover } from './transaction/recover.ts';
export { SetTransaction } from './transaction/transaction.ts';
export type { CommitInput, TransactionOptions, WrittenData } from './transaction/transaction-input.ts';
export type { TransactionPlan } from './transaction/transaction-plan.ts';
