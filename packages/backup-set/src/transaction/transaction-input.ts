import type { ByteSink } from '@virtnbd/host';
import type { ChunkChecksums } from '@virtnbd/stream-format';
import type { ManifestDisk } from '../records/manifest.ts';
import type { Proof } from '../records/proof.ts';

/** What is known of a data file once it is written. */
export interface WrittenData {
  kind: 'stream' | 'raw';
  /** Bytes. */
  size: number;
  chunks: ChunkChecksums;
  /** Of a stream file: it goes into `.chksum` for the established tool, too. */
  adler32?: number;
}

export interface CommitInput {
  /** When the point was taken. */
  created: Date;
  disks: readonly ManifestDisk[];
  proof?: Proof;
}

export interface TransactionOptions {
  /**
   * Takes the point as a zip stream. The folder then keeps its lock, the intent and the checkpoints only: what an
   * increment needs to go on. The files must come one after the other.
   */
  pipe?: ByteSink;
  /** Ends a write that the pipe's reader does not take. */
  signal?: AbortSignal;
}
