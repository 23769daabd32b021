import type { NbdAddress, NbdTlsOptions } from '@virtnbd/nbd-client';

/** Where a run reads the disks of its moment: the job of a VM that runs, or servers on the images of one that is off. */
export interface DiskExports {
  /** The NBD server that exports the disk, under the disk's target name. */
  address(target: string): NbdAddress;
  /** How the server is verified, where the blocks come encrypted. */
  readonly tls?: NbdTlsOptions;
  /** Connections that share a disk's blocks; one when absent. */
  readonly connections?: number;
  /**
   * What stands behind a failure of the NBD connection, where something is known: the link to the hypervisor is gone,
   * the socket may not be opened, or the certificates do not go together; else the failure itself.
   */
  explain?(failure: unknown): Promise<unknown>;
  /** The meta context that tells which blocks an increment has to save. */
  dirtyContext(target: string): string;
  /** Ends the servers: nothing is read any more. May be called again. */
  end(): Promise<void>;
}
