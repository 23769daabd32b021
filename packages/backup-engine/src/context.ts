import type { Writer } from '@virtnbd/backup-set';
import type { ByteSink, Host } from '@virtnbd/host';
import type { LibvirtConnection } from '@virtnbd/libvirt-ops';
import type { NbdTlsOptions } from '@virtnbd/nbd-client';
import type { BackupListener } from './events.ts';
import type { DiskSelection } from './plan/disks.ts';

/** Levels that a run can have. */
export type BackupLevel = 'copy' | 'full' | 'inc' | 'diff';
/** Levels that can be asked for: `auto` is `full` in a folder that holds none, `inc` otherwise. */
export type RequestedLevel = BackupLevel | 'auto';
/** What data files are: stream files, or, of a whole backup, plain raw images. */
export type OutputType = 'stream' | 'raw';

/** What is to be backed up, and where to. */
export interface BackupRequest {
  /** Name or uuid of the VM. */
  readonly domain: string;
  readonly level: RequestedLevel;
  /** The backup folder, an absolute path; made, with mode 0700, when it is not there. */
  readonly folder: string;
  readonly selection?: DiskSelection;
  /** Where the checkpoints' XML lies, absolute: a place that all hosts of the VM share; `checkpoints` in the folder when absent. */
  readonly checkpointFolder?: string;
  /** A VM that is off is started, without letting it run, and ended again: so it can have a checkpoint. */
  readonly startDomain?: boolean;
  /** A VM that runs is paused while the job begins; the guest's agent is not asked for anything then. */
  readonly pause?: boolean;
  /** Seconds to wait for another run on the same folder or VM to end; 0 when absent: it is an error. */
  readonly waitSeconds?: number;
  /** `stream` when absent; `raw` only for a full or a copy, and without compression. */
  readonly output?: OutputType;
  /** Level to compress payloads with (LZ4), 1 to 12: from 3 on slower and smaller. Not compressed when absent. */
  readonly compress?: number;
  /** Disks copied at the same time, 1 or more; all of them, but at most {@link MAX_WORKERS}, when absent. */
  readonly workers?: number;
  /** Where qemu keeps what the guest overwrites meanwhile; `/var/tmp` when absent. */
  readonly scratchFolder?: string;
  /** The job's socket; `/var/tmp/virtnbdbackup.PID` when absent. */
  readonly socketPath?: string;
  /** Mount points of the guest to freeze; all when absent. */
  readonly freezeMountpoints?: readonly string[];
  /** In increments, ranges that have become zero are saved as data: then the established restore is exact, too. */
  readonly zeroesAsData?: boolean;
  /** Who asks for the extents: this client, or libnbd's `nbdinfo`. They tell the same. */
  readonly extentsBy?: 'client' | 'nbdinfo';
  /** Most bytes a second that are read, of all disks together. */
  readonly bytesPerSecond?: number;
  /**
   * Percent of each disk, 1 to 100, that are read back over the restored view of the new point and compared with the
   * VM's disks before the point is committed. None when absent.
   */
  readonly prove?: number;
  /** Of inc and diff: no backup is made when fewer bytes than this have changed. */
  readonly threshold?: number;
  /**
   * Milliseconds that an NBD server may say nothing while it owes answers: a stalled disk recovers until then, or the run
   * ends. {@link NBD_IDLE_MS} when absent.
   */
  readonly nbdIdleMs?: number;
  /** Goes on where too little space is free, with a warning. */
  readonly force?: boolean;
}

/** What a stalled disk has to recover, unless told otherwise. */
export const NBD_IDLE_MS = 120_000;

/** More disks at once do not make a copy faster; each holds its share of the memory. */
export const MAX_WORKERS = 4;

/** NBD over TCP, from qemu's own server to this process. */
export interface NetworkTransfer {
  /** Address on the hypervisor that qemu listens on. */
  readonly listen: string;
  /** Where that is found from here. */
  readonly connect: string;
  readonly port: number;
  /** TLS by qemu's certificates, and how its server is verified; plain text when absent. */
  readonly tls?: NbdTlsOptions;
}

/** The world that a run works in. */
export interface BackupContext {
  /** Where the backup folder is. */
  readonly host: Host;
  /**
   * Where qemu runs and the images are: `host` itself, or another one that is reached from it; null where only libvirt
   * reaches it (qemu+tls, qemu+tcp), which needs a `transfer`.
   */
  readonly hypervisor: Host | null;
  /** The blocks of a VM that runs come over the network, rather than through the job's unix socket. */
  readonly transfer?: NetworkTransfer;
  /** Opens a connection to the libvirt that has the VM. Called more than once. */
  connect(): Promise<LibvirtConnection>;
  /** Who writes: goes into headers and manifests. */
  readonly writer: Writer;
  /** A folder that all runs on this libvirt share, for the VM's lock; `/var/tmp` when absent. */
  readonly lockFolder?: string;
  readonly onEvent?: BackupListener;
  /**
   * Takes the restore point as a zip stream: standard output. The folder then keeps the checkpoints only, which the next
   * increment needs; one disk is copied after the other.
   */
  readonly pipe?: ByteSink;
  /** Called once the folder is there and locked, with the name that the run's log file should have in it. */
  readonly onFolder?: (logFile: string) => Promise<void>;
  /** Ends the run: the job ends, the guest is thawed, checkpoint and files are rolled back. */
  readonly signal?: AbortSignal;
}

/** A committed restore point. Sizes are in bytes. */
export interface BackupResult {
  readonly skipped: false;
  readonly point: string;
  readonly level: BackupLevel;
  readonly folder: string;
  readonly disks: readonly {
    readonly disk: string;
    readonly file: string;
    readonly fileSize: number;
    readonly virtualSize: number;
    readonly dataBytes: number;
    readonly zeroBytes: number;
  }[];
}

/** No backup was made: too little has changed. */
export interface SkippedBackup {
  readonly skipped: true;
  /** Bytes that have changed. */
  readonly estimate: number;
}
