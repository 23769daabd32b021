export type { PullOptions } from './block-jobs.ts';
export type { BlockJobInfo } from './calls/block-jobs.ts';
export type {
  CheckpointXmlOptions,
  CreateCheckpointOptions,
  DeleteCheckpointOptions,
} from './calls/checkpoints.ts';
export type { GuestKind, Versions } from './calls/connect.ts';
export type { CreateDomainOptions, DomainInfo, DomainState, DomainXmlOptions } from './calls/domains.ts';
export type { GuestInfo } from './calls/guest.ts';
export type { BackupBeginOptions, JobInfo, JobInfoOptions } from './calls/jobs.ts';
export type { Screenshot } from './calls/screen.ts';
export { LibvirtConnection } from './connection.ts';
export { LibvirtError, OwnErrorCode } from './errors.ts';
export {
  type LibvirtTransport,
  type LibvirtUri,
  parseLibvirtUri,
  withoutUriParameter,
  withUriParameters,
} from './libvirt-uri.ts';
export type { AbortJobOptions, CheckpointInfo, ConnectionAddress, OpenOptions } from './options.ts';
export { tpmStateFolder } from './tpm-state-folder.ts';
export {
  type BackupDisk,
  type BackupJobDescription,
  type BackupJobDisk,
  type BackupServer,
  type BackupXmlInput,
  buildBackupXml,
  parseBackupJob,
} from './xml/backup.ts';
export { type DomainCapabilities, parseSecurityModels, type SecurityModel } from './xml/capabilities.ts';
export {
  buildCheckpointXml,
  type CheckpointDescription,
  type CheckpointDisk,
  type CheckpointXmlInput,
  parseCheckpoint,
} from './xml/checkpoint.ts';
export {
  type BootFiles,
  type DiskDescription,
  type DomainDescription,
  parseDomain,
  type SecretReference,
} from './xml/domain.ts';
export { EditableElement, EditableXml, type Place } from './xml/edit.ts';
export type { NewElement } from './xml/new-element.ts';
export { parseVolume, type VolumeDescription } from './xml/volume.ts';
