import { execFile, spawn } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { requires, type SshServer, startSshServer, waitFor } from '@virtnbd/test-kit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SshHost } from '../src/index.ts';
import { shellCommand } from '../src/ssh/shell-command.ts';
import { oddNames } from './temp.ts';

const execute = promisify(execFile);
const { skip } = requires('sshd');

/** Whether a process is there and is no zombie. */
async function runs(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return stat !== '' && stat.charAt(stat.lastIndexOf(')') + 2) !== 'Z';
}

describe('the command line for a shell', () => {
  test('every word comes out as it went in, in every shell that is here', async () => {
    const words = [...oddNames, '', "it's", '~', '!!', 'a=b', '\\', '\r', '\u001b[0m'];
    for (const shell of ['sh', 'bash', 'dash']) {
      const line = shellCommand([
        process.execPath,
        '-e',
        'console.log(JSON.stringify(process.argv.slice(1)))',
        '--',
        ...words,
      ]);
      const { stdout } = await execute(shell, ['-c', line]);
      expect(JSON.parse(stdout), shell).toEqual(words);
    }
  });

  test('a NUL is refused', () => {
    expect(() => shellCommand(['a\0b'])).toThrow('NUL');
  });
});

describe.skipIf(skip)('a host behind ssh', () => {
  let server: SshServer;
  let host: SshHost;
  const target = () => ({ host: server.alias, configFile: server.configFile });
  beforeAll(async () => {
    server = await startSshServer();
    host = await SshHost.connect(target());
  });
  afterAll(async () => {
    await host?.close();
    await server?.stop();
  });

  test('when this process is killed, programs there end', async () => {
    const script = [
      "import { SshHost } from './src/index.ts';",
      `const host = await SshHost.connect(${JSON.stringify(target())});`,
      "console.log((await host.start('sleep', ['1000'])).pid);",
      'setInterval(() => {}, 1000);',
    ].join('\n');
    const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', script], {
      cwd: join(import.meta.dirname, '..'),
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const pid = await new Promise<number>((resolve) => child.stdout.once('data', (text) => resolve(Number(text))));
    expect(await runs(pid)).toBe(true);
    child.kill('SIGKILL');
    await waitFor(async () => !(await runs(pid)), { timeoutMs: 60_000 });
  });

  test.each([undefined, 2, 1])(
    'more programs run at a time than the server lets share a connection: %s',
    async (maxSessions) => {
      await using strict = await startSshServer({ ...(maxSessions !== undefined && { maxSessions }) });
      await using there = await SshHost.connect({ host: strict.alias, configFile: strict.configFile });
      const count = maxSessions === undefined ? 13 : 5;
      const programs = await Promise.all(Array.from({ length: count }, () => there.start('sleep', ['1000'])));
      expect(await Promise.all(programs.map(({ pid }) => runs(pid)))).toEqual(programs.map(() => true));
      const outputs = await Promise.all(programs.map((_, i) => there.run('cat', [], { input: String(i) })));
      expect(outputs.map(({ stdout }) => stdout)).toEqual(programs.map((_, i) => `${i}`));
      await Promise.all(programs.map((program) => program.stop()));
      expect(await Promise.all(programs.map(({ pid }) => runs(pid)))).toEqual(programs.map(() => false));
    },
  );

  test('a socket whose path ssh cannot name is refused', async () => {
    await expect(host.route('/a:b')).rejects.toMatchObject({ code: 'BAD_NAME' });
  });

  test('an unknown host key, another one, a refused login and a closed port each say which command helps', async () => {
    await using other = await startSshServer();
    const elsewhere = { host: other.alias, configFile: other.configFile };
    const known = await readFile(other.knownHosts);
    await writeFile(other.knownHosts, '');
    await expect(SshHost.connect(elsewhere)).rejects.toMatchObject({
      code: 'HOST_KEY',
      message: expect.stringMatching(/does not know.*accept it, with: ssh testhost true/),
    });
    await writeFile(other.knownHosts, known);
    await other.renewHostKey();
    await expect(SshHost.connect(elsewhere)).rejects.toMatchObject({
      code: 'HOST_KEY',
      message: expect.stringContaining('ssh-keygen -R'),
    });
    await expect(
      SshHost.connect({ ...target(), privateKey: other.privateKey, user: 'no-such-user' }),
    ).rejects.toMatchObject({
      code: 'LOGIN',
      message: expect.stringContaining('ssh -o BatchMode=yes'),
    });
    await other.stop();
    await rm(other.knownHosts, { force: true });
    await expect(SshHost.connect({ host: '127.0.0.1', port: other.port })).rejects.toMatchObject({
      code: 'UNREACHABLE',
    });
    await expect(SshHost.connect({ host: '-oProxyCommand=id' })).rejects.toMatchObject({ code: 'BAD_ARGUMENT' });
  });

  test('a connection that is gone fails all that goes over it, with one message, and is not made again in silence', async () => {
    const second = await SshHost.connect(target());
    const program = await second.start('sleep', ['1000']);
    const file = await second.files.open('/etc/passwd', 'read');
    // sshd's process for this connection: the parent of its sessions.
    const { stdout } = await host.run('ps', ['-o', 'ppid=', '-p', String(program.pid)]);
    const session = Number((await host.run('ps', ['-o', 'ppid=', '-p', stdout.trim()])).stdout);
    process.kill(session, 'SIGKILL');
    await waitFor(async () => second.lost.aborted, { timeoutMs: 60_000 });
    const lost = { code: 'LINK_LOST', message: expect.stringContaining('was lost') };
    await expect(file.read(0, Buffer.alloc(1))).rejects.toMatchObject(lost);
    await expect(second.run('true', [])).rejects.toMatchObject(lost);
    await expect(second.files.list('/')).rejects.toMatchObject(lost);
    await waitFor(async () => !(await runs(program.pid)), { timeoutMs: 60_000 });
    await second.close();
  });
});
