import type { Host } from '@virtnbd/host';
import type { LibvirtConnection } from '@virtnbd/libvirt-ops';
import type { DomainRequest, RestoredDomain } from './domain/request.ts';
import type { RestorePlan, RestoreSelection } from './plan.ts';
import type { Hole } from './source/holes.ts';
import type { RestoreEstimate } from './source/survey.ts';

export interface RestoreRequest extends RestoreSelection {
  /** The backup folder; it is never written. */
  readonly folder: string;
  /** Names the restore point, as `BackupSet.point` takes it. */
  readonly point: string;
  /** Names of files of one disk, base first, in place of a restore point. */
  readonly sequence?: readonly string[];
  /** Restore what is good of a damaged point, and tell what is not. */
  readonly salvage?: boolean;
  /** Where the images go, an absolute path; made, with mode 0700 (0711 for a VM that is to run from it), when it is not there. */
  readonly target: string;
  /** Reserve all space of the images beforehand. */
  readonly preallocate?: boolean;
  /** Compress the clusters of qcow2 images. */
  readonly compress?: boolean;
  /** Replace images of the same names, once the new ones are complete. */
  readonly force?: boolean;
  /** Read every target back when it is written, and compare. */
  readonly verify?: boolean;
  /** What becomes of the VM's configuration; it is copied when absent. Of no effect with a sequence. */
  readonly domain?: DomainRequest;
  /** Only plan: nothing is created. */
  readonly dryRun?: boolean;
  /** Disks that are written at the same time; 2 when absent. */
  readonly jobs?: number;
}

export interface RestoreContext {
  /** Where the backup folder is. */
  readonly host: Host;
  /** Where images are made, and the programs that make them run; `host` when absent. */
  readonly targetHost?: Host;
  /** Where the sockets of image servers lie, in a private folder on the target's host; `/tmp` when absent. */
  readonly tempFolder?: string;
  /** The socket itself, where its place matters; `SOCKET.DISK` for each disk after the first. */
  readonly socketFile?: string;
  /** Where a restored VM is defined. */
  readonly libvirt?: LibvirtConnection;
  readonly onEvent?: (event: RestoreEvent) => void;
  /** Ends the restore; images that are not complete are removed. */
  readonly signal?: AbortSignal;
}

/** What a restore tells while it goes on. Sizes are in bytes. */
export type RestoreEvent =
  | { readonly type: 'plan'; readonly plan: RestorePlan }
  | { readonly type: 'note'; readonly message: string }
  | { readonly type: 'phase'; readonly disk: string; readonly phase: RestorePhase; readonly totalBytes: number }
  | { readonly type: 'progress'; readonly disk: string; readonly bytes: number }
  | { readonly type: 'phase-done'; readonly disk: string; readonly phase: RestorePhase };

/** `check`: checksums of whole files; `write`; `compare`: the target is read back, or compared before it is changed. */
export type RestorePhase = 'check' | 'write' | 'compare';

export interface RestoredImage {
  readonly disk: string;
  /** Absolute. */
  readonly path: string;
  readonly kind: 'file' | 'device';
  readonly format: string;
  /** The file with the guest's data, of a qcow2 image that has one. */
  readonly dataFile?: string;
  /** Bytes. */
  readonly virtualSize: number;
  /** Where it is not known to be right; only after a salvage. */
  readonly holes: readonly Hole[];
}

/** What was restored. */
export interface RestoreResult {
  readonly plan: RestorePlan;
  readonly estimate: RestoreEstimate;
  /** Empty after a dry run. */
  readonly images: readonly RestoredImage[];
  /** Files beside the disks that are damaged and were left out, in words; only after a salvage. */
  readonly leftOut: readonly string[];
  /** The VM's configuration, after a dry run as it would be; null when there is none. */
  readonly domain: RestoredDomain | null;
}
