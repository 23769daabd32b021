import { HostError } from '../errors.ts';
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
} from '../host.ts';
import { isProcessAlive, processIdentity } from '../process-identity.ts';
import { waitForListener } from '../wait-for-socket.ts';
import { ProgramPlaces } from './program-places.ts';
import { runRemote, startRemote } from './remote-programs.ts';
import { SftpClient } from './sftp-client.ts';
import { SftpFiles } from './sftp-files.ts';
import { SshConnection } from './ssh-connection.ts';
import { linkLost } from './ssh-failure.ts';
import { describeTarget, type SshTarget } from './ssh-target.ts';

/** The other side is no SFTP server: a login shell that prints something, or refuses the user, or none installed. */
function noFileTransfer(target: SshTarget, said: string, cause: unknown): HostError {
  const why = said.trim() === '' ? '' : ` (${said.trim()})`;
  const text =
    `${describeTarget(target)} lets this user log in, but not transfer files by SFTP${why}: is the server's subsystem sftp ` +
    'set up (Debian: openssh-sftp-server), and does the login shell print nothing?';
  return new HostError('LOGIN', text, { program: 'ssh', cause });
}

/**
 * A host behind ssh: its programs, files and unix sockets, over one connection of the ssh program, and more of the same
 * where many programs run at a time. Programs there end
 * with this process, whatever ends it; after a cut link they end within 30 seconds, and here it is noticed within 20.
 */
export class SshHost implements Host, AsyncDisposable {
  readonly files: HostFiles;
  readonly name: string;
  readonly #connection: SshConnection;
  readonly #places: ProgramPlaces;
  readonly #sftp: SftpClient;

  private constructor(connection: SshConnection, sftp: SftpClient) {
    this.#connection = connection;
    this.#places = new ProgramPlaces(connection);
    this.#sftp = sftp;
    this.name = describeTarget(connection.target);
    this.files = new SftpFiles(sftp, async (path) => {
      const { stdout } = await this.run('blockdev', ['--getsize64', path]);
      return Number(stdout.trim());
    });
  }

  /** @throws HostError HOST_KEY, LOGIN, UNREACHABLE, PROGRAM_MISSING */
  static async connect(target: SshTarget, options: { signal?: AbortSignal | undefined } = {}): Promise<SshHost> {
    const connection = await SshConnection.open(target, options);
    try {
      const { stdin, stdout, stderr } = connection.subsystem('sftp');
      if (stdin === null || stdout === null) throw new Error('ssh was started without pipes');
      let said = '';
      stderr?.setEncoding('utf8').on('data', (text: string) => {
        said = (said + text).slice(-2000);
      });
      const whyEnded = () => (connection.lost.aborted ? connection.lost.reason : linkLost(target, said));
      const sftp = new SftpClient({ stdin, stdout }, whyEnded);
      await sftp.ready().catch((cause: unknown) => {
        throw cause instanceof HostError ? cause : noFileTransfer(target, said, cause);
      });
      return new SshHost(connection, sftp);
    } catch (error) {
      await connection.close();
      throw error;
    }
  }

  /** Aborted, with a HostError LINK_LOST as its reason, when the connection is gone. */
  get lost(): AbortSignal {
    return this.#places.lost;
  }

  async run(program: string, args: readonly string[], options?: RunOptions): Promise<ProgramOutput> {
    const { begun, free } = await this.#places.place(options?.signal, (connection) =>
      runRemote(connection, program, args, options),
    );
    free();
    return begun;
  }

  async start(program: string, args: readonly string[], options?: StartOptions): Promise<RunningProgram> {
    const { begun, free } = await this.#places.place(options?.signal, (connection) =>
      startRemote(connection, program, args, options),
    );
    void begun.exited.then(free);
    return begun;
  }

  async waitForSocket(path: string, options?: WaitForSocketOptions): Promise<void> {
    await waitForListener(path, options, {
      isSocket: async (socket) => (await this.files.stat(socket))?.kind === 'other',
      // A file of /proc tells no size, so it cannot be read as others.
      table: async () => (await this.run('cat', ['/proc/net/unix'])).stdout,
    });
  }

  async route(path: string): Promise<SocketRoute> {
    const { path: local, close } = await this.#connection.forward(path);
    return { path: local, close, [Symbol.asyncDispose]: close };
  }

  /** A program that libvirt may call in ssh's place, so that its connection goes over this one: `?command=` in a URI. */
  proxyCommand(): Promise<string> {
    return this.#connection.proxyCommand();
  }

  /** This process holds a lock there: whether it still runs is looked up here. */
  identity(): Promise<HostIdentity> {
    return processIdentity();
  }

  isAlive(other: HostIdentity): Promise<boolean | 'unknown'> {
    return isProcessAlive(other);
  }

  async close(): Promise<void> {
    this.#sftp.end();
    await this.#places.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
