import { randomBytes } from 'node:crypto';
import { type Companion, type Host, HostError, startCompanion } from '@virtnbd/host';
import { RecoveryError } from '../errors.ts';
import { libguestfsFailure } from './libguestfs-failure.ts';

/**
 * A conversation with guestfish, libguestfs's shell: commands in, what they print out. It ends when this process does, however
 * that ends, and takes its appliance and its folders with it.
 */
export class Guestfish implements AsyncDisposable {
  readonly #companion: Companion;
  readonly #signal: AbortSignal | undefined;
  readonly #stop: () => void;
  #ended = false;

  private constructor(companion: Companion, signal: AbortSignal | undefined) {
    this.#companion = companion;
    this.#signal = signal;
    this.#stop = () => this.#kill();
    signal?.addEventListener('abort', this.#stop, { once: true });
    void companion.exited.then(() => {
      this.#ended = true;
    });
  }

  /**
   * Starts guestfish. Its appliance starts with the command `run`.
   *
   * @param folder for its own files, made with it
   * @param folders others, removed with it at the end
   * @param settings of libguestfs's backend; the user's own where empty
   * @throws RecoveryError `MISSING_TOOL`
   */
  static async start(
    host: Host,
    folder: string,
    options: { folders: readonly string[]; settings?: string | undefined; signal?: AbortSignal | undefined },
  ): Promise<Guestfish> {
    const { folders, settings, signal } = options;
    signal?.throwIfAborted();
    await requireGuestfish(host);
    const { LIBGUESTFS_BACKEND: backend = 'direct', LIBGUESTFS_BACKEND_SETTINGS: own = '' } = process.env;
    const environment = [
      // Not TMPDIR: the appliance, which libguestfs builds once and keeps, would be built there each time.
      `LIBGUESTFS_TMPDIR=${folder}`,
      'LC_ALL=C',
      `LIBGUESTFS_BACKEND=${backend}`,
      `LIBGUESTFS_BACKEND_SETTINGS=${settings ?? own}`,
    ];
    // When we are killed, guestfish reads the end of its input and ends; what was made for it is then removed.
    // Where it fails, this process is there to tell, and to clean up.
    const script =
      'mkdir -p -m 700 -- "$5" || exit; env "$1" "$2" "$3" "$4" guestfish || exit; shift 4; rm -rf -- "$@"';
    const companion = await startCompanion('/bin/sh', ['-c', script, 'sh', ...environment, folder, ...folders]);
    const guestfish = new Guestfish(companion, signal);
    try {
      await guestfish.ask(); // its folder is there when it answers
      return guestfish;
    } catch (error) {
      await guestfish[Symbol.asyncDispose]();
      throw error;
    }
  }

  /**
   * Runs commands and gives the lines that they printed. A command that fails ends guestfish.
   *
   * @throws RecoveryError `GUEST_FILES` with what guestfish said; the signal's reason
   */
  async ask(...commands: readonly string[]): Promise<string[]> {
    this.#signal?.throwIfAborted();
    // Its output is buffered, and written out before a pipe is opened.
    const mark = `end-${randomBytes(8).toString('hex')}`;
    try {
      for (const command of [...commands, `echo ${mark} | cat`]) await this.#companion.say(command);
    } catch (error) {
      // It has ended: what it said tells why.
      if (!(error instanceof HostError)) throw error;
    }
    const lines: string[] = [];
    for (;;) {
      const line = await this.#companion.hear();
      if (line === mark) return lines;
      if (line === null) break;
      lines.push(line);
    }
    this.#signal?.throwIfAborted();
    throw new RecoveryError('GUEST_FILES', `libguestfs failed: ${libguestfsFailure(this.#companion.stderr())}`);
  }

  /** Ends guestfish and its appliance, and removes its folders. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#signal?.removeEventListener('abort', this.#stop);
    if (this.#signal?.aborted) this.#kill();
    this.#companion.end();
    await this.#companion.exited;
  }

  /** With the appliance, which is of its process group. */
  #kill(): void {
    if (this.#ended) return;
    try {
      process.kill(-this.#companion.pid, 'SIGTERM');
    } catch {
      // It has just ended.
    }
  }
}

async function requireGuestfish(host: Host): Promise<void> {
  try {
    await host.run('guestfish', ['--version']);
  } catch (cause) {
    if (!(cause instanceof HostError) || cause.code !== 'PROGRAM_MISSING') throw cause;
    const text =
      'Files inside a disk are read through libguestfs, which is not installed: apt-get install guestfish (Debian, Ubuntu), ' +
      'dnf install guestfs-tools (Fedora, RHEL), zypper install guestfs-tools (SUSE).';
    throw new RecoveryError('MISSING_TOOL', text, { cause });
  }
}

/** A word as guestfish reads it: in double quotes, every byte that could mean something as \xHH. */
export function word(text: string): string {
  const bytes = [...Buffer.from(text, 'utf8')];
  const written = bytes.map((byte) => {
    const character = String.fromCharCode(byte);
    return /^[A-Za-z0-9/._@:,+=-]$/.test(character) ? character : `\\x${byte.toString(16).padStart(2, '0')}`;
  });
  return `"${written.join('')}"`;
}
