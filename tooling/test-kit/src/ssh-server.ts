import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { TestKitError } from './errors.ts';
import { findProgram, run, searchPath, signalIfRunning } from './programs.ts';
import { tempFolder } from './temp-folder.ts';
import { waitFor } from './wait-for.ts';

/** Where distributions keep it. */
const SFTP_SERVERS = ['/usr/lib/openssh/sftp-server', '/usr/libexec/openssh/sftp-server', '/usr/lib/ssh/sftp-server'];

export interface SshServerOptions {
  /** Default 127.0.0.1. */
  readonly address?: string;
  /** Words before the server's own command line: to run it in another network namespace. */
  readonly within?: readonly string[];
  /** Lets in a user without any rights, whom only this server knows, rather than the one who runs the test; needs root. */
  readonly stranger?: boolean;
  /** Sessions that it opens on one connection; sshd's own default when absent. */
  readonly maxSessions?: number;
}

/** An sshd of a test's own: own keys, own configuration, own port. It lets in the user who runs the test, by one key. */
export interface SshServer extends AsyncDisposable {
  readonly address: string;
  readonly port: number;
  readonly user: string;
  readonly privateKey: string;
  /** A client configuration in which the server is the host {@link alias}; nothing of the user's own is read with it. */
  readonly configFile: string;
  readonly alias: string;
  readonly knownHosts: string;
  /** A folder with an `ssh` that always uses the configuration: to be put first into PATH. */
  readonly binFolder: string;
  readonly pid: number;
  log(): string;
  /** Ends every connection, as by a reset; new ones are taken. */
  cutConnections(): Promise<void>;
  /** Replaces the server's key, as if another machine answered. */
  renewHostKey(): Promise<void>;
  stop(): Promise<void>;
}

export async function startSshServer(options: SshServerOptions = {}): Promise<SshServer> {
  const { address = '127.0.0.1', stranger = false } = options;
  const sshd = findProgram('sshd');
  const sftp = SFTP_SERVERS.find((path) => existsSync(path));
  if (sshd === null || sftp === undefined)
    throw new TestKitError('PROGRAM_MISSING', 'sshd or its sftp-server is missing: apt-get install openssh-server');
  // As root it wants the folder that its service would make.
  if (process.getuid?.() === 0) await mkdir('/run/sshd', { recursive: true });
  const temp = await tempFolder();
  const at = (name: string): string => join(temp.path, name);
  const user = stranger ? STRANGER : userInfo().username;
  const within = [...(options.within ?? []), ...(stranger ? await withStranger(at('passwd')) : [])];
  const alias = 'testhost';
  await makeKey(at('host_key'));
  await makeKey(at('user_key'));
  await writeFile(at('authorized_keys'), await readFile(at('user_key.pub')));
  const port = await freePort();
  const knownHosts = at('known_hosts');
  const know = async (): Promise<void> =>
    await writeFile(knownHosts, `${alias} ${await readFile(at('host_key.pub'), 'utf8')}`);
  await know();
  await writeFile(at('sshd_config'), serverConfig({ address, port, sftp, at, maxSessions: options.maxSessions }));
  await writeFile(at('ssh_config'), clientConfig({ alias, address, port, user, key: at('user_key'), knownHosts }));
  await mkdir(at('bin'));
  const ssh = findProgram('ssh') ?? 'ssh';
  await writeFile(at('bin/ssh'), `#!/bin/sh\nexec ${ssh} -F '${at('ssh_config')}' "$@"\n`);
  await chmod(at('bin/ssh'), 0o755);

  let output = '';
  const begin = async () => {
    const [program = sshd, ...args] = [...within, sshd, '-D', '-e', '-f', at('sshd_config')];
    // It ends with the test process, however that ends.
    const child = spawn('setpriv', ['--pdeathsig', 'TERM', '--', program, ...args], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, PATH: searchPath },
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    const ended = new Promise<void>((resolve) => {
      child.once('exit', () => resolve());
      child.once('error', () => resolve());
    });
    const seen = output.length;
    await waitFor(
      async () => {
        if (child.exitCode !== null) throw new TestKitError('DAEMON', `sshd ended at once: ${output}`);
        return output.slice(seen).includes('Server listening');
      },
      { what: 'sshd', timeoutMs: 30_000 },
    );
    return { pid: child.pid ?? 0, ended };
  };
  let server = await begin();
  const end = async (): Promise<void> => {
    signalIfRunning(server.pid, 'SIGTERM');
    await server.ended;
  };
  const stop = async (): Promise<void> => {
    await end();
    await temp.remove();
  };
  return {
    ...{ address, port, user, alias, knownHosts, privateKey: at('user_key'), configFile: at('ssh_config') },
    binFolder: at('bin'),
    get pid() {
      return server.pid;
    },
    log: () => output,
    cutConnections: async () => {
      for (const pid of await childrenOf(server.pid)) signalIfRunning(pid, 'SIGKILL');
    },
    renewHostKey: async () => {
      await end();
      await run('rm', ['-f', at('host_key'), at('host_key.pub')]);
      await makeKey(at('host_key'));
      server = await begin();
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

const STRANGER = 'virtnbd-stranger';
const STRANGER_ID = 64_321;

/** Words that make a program see one user more, and nobody else: a mount namespace in which `passwd` is /etc/passwd. */
async function withStranger(passwd: string): Promise<string[]> {
  const entry = `${STRANGER}:x:${STRANGER_ID}:${STRANGER_ID}::/:/bin/sh\n`;
  await writeFile(passwd, `${await readFile('/etc/passwd', 'utf8')}${entry}`, { mode: 0o644 });
  const script = 'mount --bind "$0" /etc/passwd && exec "$@"';
  return ['unshare', '--mount', 'sh', '-c', script, passwd];
}

async function childrenOf(pid: number): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  return text
    .split(' ')
    .filter((word) => word !== '')
    .map(Number);
}

async function makeKey(path: string): Promise<void> {
  await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'test', '-f', path]);
}

function serverConfig(of: {
  address: string;
  port: number;
  sftp: string;
  at: (name: string) => string;
  maxSessions: number | undefined;
}): string {
  return [
    `Port ${of.port}`,
    `ListenAddress ${of.address}`,
    `HostKey ${of.at('host_key')}`,
    `AuthorizedKeysFile ${of.at('authorized_keys')}`,
    'PidFile none',
    'StrictModes no',
    'PasswordAuthentication no',
    'KbdInteractiveAuthentication no',
    'PermitRootLogin prohibit-password',
    'MaxStartups 100',
    'PrintMotd no',
    ...(of.maxSessions === undefined ? [] : [`MaxSessions ${of.maxSessions}`]),
    `Subsystem sftp ${of.sftp}`,
    '',
  ].join('\n');
}

function clientConfig(of: {
  alias: string;
  address: string;
  port: number;
  user: string;
  key: string;
  knownHosts: string;
}): string {
  return [
    `Host ${of.alias} ${of.address}`,
    `  HostName ${of.address}`,
    `  Port ${of.port}`,
    `  User ${of.user}`,
    `  IdentityFile ${of.key}`,
    '  IdentitiesOnly yes',
    // By its alias also where something stands between, at another port.
    `  HostKeyAlias ${of.alias}`,
    `  UserKnownHostsFile ${of.knownHosts}`,
    '  GlobalKnownHostsFile none',
    '',
  ].join('\n');
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const address = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}
