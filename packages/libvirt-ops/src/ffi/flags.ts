/** libvirt's flag bits and numbered states (`include/libvirt/libvirt-domain.h` and its neighbours). */

export const DomainXmlFlag = { secure: 1 << 0, inactive: 1 << 1, migratable: 1 << 3 } as const;
export const DomainCreateFlag = { paused: 1 << 0 } as const;
export const BackupBeginFlag = { reuseExternal: 1 << 0 } as const;
export const JobStatsFlag = { completed: 1 << 0, keepCompleted: 1 << 1 } as const;
export const CheckpointListFlag = { topological: 1 << 1 } as const;
export const CheckpointXmlFlag = { secure: 1 << 0, noDomain: 1 << 1, size: 1 << 2 } as const;
export const CheckpointCreateFlag = { redefine: 1 << 0, redefineValidate: 1 << 2 } as const;
export const CheckpointDeleteFlag = { children: 1 << 0, metadataOnly: 1 << 1 } as const;

/** virDomainState, by number. `shutdown` is a VM on its way down, `shutoff` one that is off. */
export const DOMAIN_STATES = [
  'nostate',
  'running',
  'blocked',
  'paused',
  'shutdown',
  'shutoff',
  'crashed',
  'pmsuspended',
] as const;

/** virDomainJobType, by number. */
export const JOB_TYPES = ['none', 'bounded', 'unbounded', 'completed', 'failed', 'cancelled'] as const;

/** virDomainJobOperation, by number. */
export const JOB_OPERATIONS = [
  'unknown',
  'start',
  'save',
  'restore',
  'migration-in',
  'migration-out',
  'snapshot',
  'snapshot-revert',
  'dump',
  'backup',
  'snapshot-delete',
] as const;
