import type { NbdAddress, NbdTlsOptions } from '@virtnbd/nbd-client';

/** Where a run reads the disks of its moment: the job of a VM that runs, or servers on the images of one that is off. */
export interface DiskExports {
  /** The NBD server that exports the disk, under the disk's target name. */
  address(target: string): NbdAddress;
  /** How the server is verified, where the blocks come encrypted. */
  readonly tls?: NbdTlsOptions;
  /** What to say of a connection that the server did not take; null where nothing better is known. */
  whyRefused?(target: string): Promise<string | null>;
  /** The meta context that tells which blocks an increment has to save. */
  dirtyContext(target: string): string;
  /** Ends the servers: nothing is read any more. May be called again. */
  end(): Promise<void>;
}
