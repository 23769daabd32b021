export { alignedBuffer, PAGE_BYTES } from './aligned-buffer.ts';
export { isTemporaryName } from './atomic-write.ts';
export { type Companion, startCompanion } from './companion.ts';
export { EarlySync } from './early-sync.ts';
export { HostError, type HostErrorCode, type HostErrorFields } from './errors.ts';
export type {
  ByteSink,
  DirectoryEntry,
  EntryKind,
  FileStat,
  Host,
  HostFile,
  HostFiles,
  HostIdentity,
  OpenMode,
  OpenOptions,
  ProgramExit,
  ProgramOutput,
  RunningProgram,
  RunOptions,
  SocketRoute,
  StartOptions,
  WaitForSocketOptions,
} from './host.ts';
export { linesOf } from './lines.ts';
export { LocalHost } from './local-host.ts';
export { type Attributes, LocalTree } from './local-tree.ts';
export { yieldPoolThreads } from './pool-priority.ts';
export { makeRunFolder } from './run-folder.ts';
export { SshHost } from './ssh/ssh-host.ts';
export type { SshTarget } from './ssh/ssh-target.ts';
export { openStandardOutput } from './standard-output.ts';
