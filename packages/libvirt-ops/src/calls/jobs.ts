import { BackupBeginFlag, JOB_OPERATIONS, JOB_TYPES, JobStatsFlag } from '../ffi/flags.ts';
import type { Address, DomainHandle, Out } from '../ffi/signatures.ts';
import { readTypedParameters, type TypedValue } from '../ffi/typed-parameters.ts';
import { flags, plain, type Session } from './session.ts';

export interface BackupBeginOptions {
  /** The checkpoint to create with the job, at the same moment. */
  readonly checkpointXml?: string;
  /** The scratch files (pull) or targets (push) exist already and have the right size and format. */
  readonly reuseExternal?: boolean;
}

export interface JobInfoOptions {
  /** The job that ended last, rather than the running one; libvirt keeps its figures. */
  readonly completed?: boolean;
}

/** Bytes and milliseconds; a figure that the hypervisor does not give is absent. */
export interface JobInfo {
  readonly type: (typeof JOB_TYPES)[number];
  readonly operation: (typeof JOB_OPERATIONS)[number];
  readonly timeElapsed?: number;
  /** Of all the job's disks: bytes that an NBD client may read (pull), or that are copied (push). */
  readonly dataTotal?: number;
  readonly dataProcessed?: number;
  readonly dataRemaining?: number;
  /** Scratch space of a pull job: reserved and in use. */
  readonly scratchTotal?: number;
  readonly scratchUsed?: number;
  /** Of a job that ended. */
  readonly success?: boolean;
  readonly errorMessage?: string;
}

export function jobCalls(session: Session) {
  const { libvirt } = session;
  return {
    backupBegin(uuid: string, backupXml: string, options: BackupBeginOptions): void {
      const checkpointXml = options.checkpointXml === undefined ? null : plain(options.checkpointXml);
      const bits = flags([options.reuseExternal, BackupBeginFlag.reuseExternal]);
      session.withDomain(uuid, (domain) =>
        session.count(
          'virDomainBackupBegin',
          libvirt.virDomainBackupBegin(domain, plain(backupXml), checkpointXml, bits),
        ),
      );
    },

    backupXml(uuid: string): string {
      return session.withDomain(uuid, (domain) =>
        session.value('virDomainBackupGetXMLDesc', libvirt.virDomainBackupGetXMLDesc(domain, 0)),
      );
    },

    jobInfo(uuid: string, options: JobInfoOptions): JobInfo {
      const bits = flags(
        [options.completed, JobStatsFlag.completed],
        [options.completed, JobStatsFlag.keepCompleted], // without it, reading the figures deletes them
      );
      return session.withDomain(uuid, (domain) => jobInfo(session, domain, bits));
    },

    abortJob(uuid: string): void {
      session.withDomain(uuid, (domain) => session.count('virDomainAbortJob', libvirt.virDomainAbortJob(domain)));
    },
  };
}

function jobInfo(session: Session, domain: DomainHandle, bits: number): JobInfo {
  const { libvirt } = session;
  const type: Out<number> = [0];
  const params: Out<Address | null> = [null];
  const count: Out<number> = [0];
  session.count('virDomainGetJobStats', libvirt.virDomainGetJobStats(domain, type, params, count, bits));
  const address = params[0];
  const values = readTypedParameters(address, count[0]);
  if (address !== null) libvirt.virTypedParamsFree(address, count[0]);
  return {
    type: JOB_TYPES[type[0]] ?? 'none',
    operation: JOB_OPERATIONS[numberOf(values.get('operation')) ?? 0] ?? 'unknown',
    ...defined({
      timeElapsed: numberOf(values.get('time_elapsed')),
      dataTotal: numberOf(values.get('disk_total') ?? values.get('data_total')),
      dataProcessed: numberOf(values.get('disk_processed') ?? values.get('data_processed')),
      dataRemaining: numberOf(values.get('disk_remaining') ?? values.get('data_remaining')),
      scratchTotal: numberOf(values.get('disk_temp_total')),
      scratchUsed: numberOf(values.get('disk_temp_used')),
      success: booleanOf(values.get('success')),
      errorMessage: stringOf(values.get('errmsg')),
    }),
  };
}

function numberOf(value: TypedValue | undefined): number | undefined {
  return typeof value === 'number' ? value : undefined;
}

function booleanOf(value: TypedValue | undefined): boolean | undefined {
  return typeof value === 'boolean' ? value : undefined;
}

function stringOf(value: TypedValue | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

/** The entries that have a value: an absent figure is an absent key. */
function defined<T extends object>(entries: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const kept: { [K in keyof T]?: Exclude<T[K], undefined> } = {};
  for (const [key, value] of Object.entries(entries)) if (value !== undefined) Object.assign(kept, { [key]: value });
  return kept;
}
