import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import type { HostFiles } from '@virtnbd/host';
import { UsageError } from './errors.ts';
import type { Logger } from './logger.ts';

/** Where a password may come from; the first that there is counts. */
export interface PasswordSources {
  readonly user: string | undefined;
  /** From the command line. */
  readonly password: string | undefined;
  readonly 'password-file': string | undefined;
}

/** More than any password; a file that is larger is another one. */
const LARGEST = 4096;

/**
 * The password for libvirt: from the command line (with a warning, as others see it there), a file (its first line),
 * VIRTNBD_PASSWORD, or, where a user is named and somebody sits at a terminal, a prompt. It appears in no line of the log.
 *
 * @throws UsageError for a file that holds none; HostError; the signal's reason
 */
export async function readPassword(
  sources: PasswordSources,
  {
    files,
    log,
    signal,
    env = process.env,
  }: { files: HostFiles; log: Logger; signal: AbortSignal; env?: NodeJS.ProcessEnv },
): Promise<string | undefined> {
  const found = await find(sources, { files, log, signal, env });
  // The variable must not reach the programs that are started.
  delete env.VIRTNBD_PASSWORD;
  if (found !== undefined) log.addSecret(found);
  return found;
}

async function find(
  { user, password, 'password-file': file }: PasswordSources,
  { files, log, signal, env }: { files: HostFiles; log: Logger; signal: AbortSignal; env: NodeJS.ProcessEnv },
): Promise<string | undefined> {
  if (password !== undefined) {
    log.warn(
      'a password on the command line is visible in the list of processes; use --password-file or VIRTNBD_PASSWORD',
    );
    return password;
  }
  if (file !== undefined) {
    const [line = ''] = Buffer.from(await files.readSmall(file, LARGEST))
      .toString('utf8')
      .split(/\r?\n/, 1);
    if (line === '') throw new UsageError(`--password-file ${file}: its first line is empty`);
    return line;
  }
  if (env.VIRTNBD_PASSWORD !== undefined && env.VIRTNBD_PASSWORD !== '') return env.VIRTNBD_PASSWORD;
  return user !== undefined && process.stdin.isTTY ? await ask(user, signal) : undefined;
}

/** Asks on the terminal; what is typed is not shown. */
async function ask(user: string, signal: AbortSignal): Promise<string> {
  process.stderr.write(`password of ${user} for libvirt: `);
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output: silent, terminal: true });
  const stop = () => lines.close();
  signal.addEventListener('abort', stop, { once: true });
  try {
    return await new Promise<string>((resolve, reject) => {
      lines.once('line', resolve);
      // Ctrl-C is a key here, as the terminal is in raw mode.
      lines.once('SIGINT', () => process.kill(process.pid, 'SIGINT'));
      lines.once('close', () => reject(signal.aborted ? signal.reason : new UsageError('no password was given')));
    });
  } finally {
    signal.removeEventListener('abort', stop);
    lines.close();
    process.stderr.write('\n');
  }
}
