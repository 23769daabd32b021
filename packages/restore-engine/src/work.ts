import type { Host } from '@virtnbd/host';
import type { RestoredImage, RestorePhase, RestoreRequest } from './request.ts';
import type { TargetFolder } from './target/target-folder.ts';

/** What the writers of all kinds of targets need. */
export interface RestoreWork {
  readonly request: RestoreRequest;
  /** Where the target is: its files, and the programs that write them. */
  readonly host: Host;
  /** null when no disk goes there. */
  readonly folder: TargetFolder | null;
  /** What qemu-img said of a disk's source image, as the backup folder has it. */
  readonly imageInfo: (disk: string) => string | null;
  /** Absolute path for the socket of a disk's image server. */
  readonly socketPath: (disk: string) => string;
  readonly note: (message: string) => void;
  /** Runs a part of a disk's restore, with its progress. */
  readonly phase: PhaseRunner;
  readonly signal: AbortSignal;
}

export type PhaseRunner = <T>(
  disk: string,
  phase: RestorePhase,
  totalBytes: number,
  run: (onBytes: (bytes: number) => void) => Promise<T>,
) => Promise<T>;

/** What a writer has made. */
export type WrittenImage = Omit<RestoredImage, 'holes'>;
