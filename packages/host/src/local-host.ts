import type {
  Host,
  HostFiles,
  HostIdentity,
  ProgramOutput,
  RunningProgram,
  RunOptions,
  SocketRoute,
  StartOptions,
  WaitForSocketOptions,
} from './host.ts';
import { LocalFiles } from './local-files.ts';
import { isProcessAlive, processIdentity } from './process-identity.ts';
import { runProgram, startProgram } from './programs.ts';
import { waitForSocket } from './wait-for-socket.ts';

/**
 * This machine.
 *
 * `files.rename` without `replace` links the file to its new name and removes the old one, since node has no
 * renameat2: a crash between the two leaves both names, and the same call finishes later. Where the file system has no
 * hard links it takes the name with an empty file first and renames over that: still no clobbering, but a crash there
 * leaves an empty file. A folder is renamed as it is after a look whether the name is free; the system then replaces
 * at most an empty folder that someone made in between.
 */
export class LocalHost implements Host {
  readonly files: HostFiles = new LocalFiles();
  readonly name: string = '';

  async run(program: string, args: readonly string[], options?: RunOptions): Promise<ProgramOutput> {
    return await runProgram(program, args, options);
  }

  async start(program: string, args: readonly string[], options?: StartOptions): Promise<RunningProgram> {
    return await startProgram(program, args, options);
  }

  async waitForSocket(path: string, options?: WaitForSocketOptions): Promise<void> {
    await waitForSocket(path, options);
  }

  async route(path: string): Promise<SocketRoute> {
    const close = async (): Promise<void> => undefined;
    return { path, close, [Symbol.asyncDispose]: close };
  }

  async identity(): Promise<HostIdentity> {
    return await processIdentity();
  }

  async isAlive(other: HostIdentity): Promise<boolean | 'unknown'> {
    return await isProcessAlive(other);
  }
}
