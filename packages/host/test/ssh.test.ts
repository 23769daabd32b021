import { execFile, spawn } from 'node:child_process';
import { mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { requires, type SshServer, startSshServer, waitFor } from '@virtnbd/test-kit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SshHost } from '../src/index.ts';
import { shellCommand } from '../src/ssh/shell-command.ts';
import { oddNames, tempFolder } from './temp.ts';

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

  test('programs get their arguments and environment as they are, and give output and exit code back', async () => {
    const script = 'console.log(JSON.stringify([process.argv.slice(1), process.env.LC_ALL, process.env.ADDED]))';
    const { stdout } = await host.run(process.execPath, ['-e', script, '--', ...oddNames, ''], {
      env: { ADDED: 'a b' },
    });
    expect(JSON.parse(stdout)).toEqual([[...oddNames, ''], 'C', 'a b']);
    await expect(host.run('sh', ['-c', 'echo "no such image" >&2; exit 3'])).rejects.toMatchObject({
      code: 'PROGRAM_FAILED',
      exitCode: 3,
      message: 'sh ended with exit code 3: no such image',
    });
    await expect(host.run('no-such-program', [])).rejects.toMatchObject({ code: 'PROGRAM_MISSING' });
    await expect(host.start('no-such-program', [])).rejects.toMatchObject({ code: 'PROGRAM_MISSING' });
    const counted = await host.run('wc', ['-c'], { input: 'x'.repeat(1_000_000) });
    expect(counted.stdout.trim()).toBe('1000000');
    await expect(host.run('yes', [], { maxOutput: 1000 })).rejects.toMatchObject({ code: 'OUTPUT_LIMIT' });
  });

  test('a program that stays is ended, with its children, by stop and by a signal', async () => {
    const program = await host.start('sh', ['-c', 'sleep 1000 & wait']);
    const { stdout } = await host.run('pgrep', ['-P', String(program.pid)]);
    expect([await runs(program.pid), await runs(Number(stdout))]).toEqual([true, true]);
    await program.stop();
    expect([await runs(program.pid), await runs(Number(stdout))]).toEqual([false, false]);
    expect(await program.exited).toMatchObject({ stopped: true, signal: 'SIGTERM' });
    const stop = new AbortController();
    const running = host.run('sleep', ['1000'], { signal: stop.signal });
    stop.abort(new Error('stopped'));
    await expect(running).rejects.toThrow('stopped');
    await expect(host.run('sleep', ['1000'], { timeoutMs: 100 })).rejects.toMatchObject({ code: 'TIMEOUT' });
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

  test('a socket there is reached by a route, as often as wanted', async () => {
    const folder = await tempFolder();
    const path = join(folder, 'server.sock');
    const answering = createServer((socket) => socket.end('hello'));
    await new Promise<void>((resolve) => answering.listen(path, resolve));
    await host.waitForSocket(path);
    {
      await using route = await host.route(path);
      for (let time = 0; time < 2; time++) {
        const text = await new Promise((resolve) => connect(route.path).once('data', (data) => resolve(String(data))));
        expect(text).toBe('hello');
      }
    }
    answering.close();
    await expect(host.waitForSocket(path, { timeoutMs: 200 })).rejects.toMatchObject({ code: 'TIMEOUT' });
    await expect(host.route('/a:b')).rejects.toMatchObject({ code: 'BAD_NAME' });
  });

  test('files there: written, read at random, listed, renamed without replacing, removed', async () => {
    const folder = await tempFolder();
    const { files } = host;
    for (const name of oddNames) await files.writeAtomic(join(folder, name), name, { mode: 0o640 });
    const entries = await files.list(folder);
    expect(entries.map(({ name }) => name)).toEqual([...oddNames].sort());
    for (const name of oddNames) {
      expect(Buffer.from(await files.readSmall(join(folder, name), 100)).toString()).toBe(name);
      expect((await files.stat(join(folder, name)))?.mode).toBe(0o640);
    }
    const [a = '', b = ''] = oddNames.map((name) => join(folder, name));
    await expect(files.rename(a, b)).rejects.toMatchObject({ code: 'EXISTS' });
    expect(await files.createExclusive(a, 'x')).toBe(false);
    await expect(files.writeAtomic(a, 'x', { replace: false })).rejects.toMatchObject({ code: 'EXISTS', path: a });
    await files.rename(a, b, { replace: true });
    expect(await files.stat(a)).toBeNull();
    expect((await files.list(folder)).length).toBe(oddNames.length - 1);
    const large = Buffer.from(Array.from({ length: 3_000_001 }, (_, index) => index % 251));
    {
      await using file = await files.open(join(folder, 'large'), 'create');
      await Promise.all([file.write([large.subarray(0, 1_500_000)]), file.write([large.subarray(1_500_000)])]);
      await file.writeAt(7, Buffer.from('in between'));
      large.write('in between', 7);
      await file.sync();
      expect(await file.size()).toBe(large.length);
    }
    expect((await readFile(join(folder, 'large'))).equals(large)).toBe(true);
    await using file = await files.open(join(folder, 'large'), 'read');
    const part = Buffer.alloc(1_000_000);
    await file.read(1_000_001, part);
    expect(part.equals(large.subarray(1_000_001, 2_000_001))).toBe(true);
    await expect(file.read(3_000_000, Buffer.alloc(2))).rejects.toMatchObject({ code: 'SHORT_READ' });
    await files.copy(join(folder, 'large'), join(folder, 'copy'));
    expect((await readFile(join(folder, 'copy'))).equals(large)).toBe(true);
    await files.makeFolder(join(folder, 'x/y'), { recursive: true });
    await files.makeFolder(join(folder, 'x/y'), { recursive: true });
    await expect(files.makeFolder(join(folder, 'x'))).rejects.toMatchObject({ code: 'EXISTS' });
    await expect(files.removeFolder(join(folder, 'x'))).rejects.toMatchObject({ code: 'NOT_EMPTY' });
    await symlink(folder, join(folder, 'x/link'));
    await files.removeFolder(join(folder, 'x'), { recursive: true });
    await files.removeFolder(join(folder, 'x'));
    await files.remove(join(folder, 'absent'));
    expect(await files.stat(join(folder, 'large'))).not.toBeNull();
    expect(await files.freeSpace(folder)).toBeGreaterThan(0);
    await files.syncFolder(folder);
  });

  test('what is no file, and what is not there, is refused without hanging', async () => {
    const folder = await tempFolder();
    await execute('mkfifo', [join(folder, 'fifo')]);
    await writeFile(join(folder, 'file'), 'x');
    await mkdir(join(folder, 'folder'));
    for (const name of ['fifo', 'folder'])
      await expect(host.files.open(join(folder, name), 'read')).rejects.toMatchObject({ code: 'WRONG_KIND' });
    await expect(host.files.readSmall('/nonexistent/f', 1)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(host.files.list(join(folder, 'file'))).rejects.toMatchObject({ code: 'WRONG_KIND' });
    await expect(host.files.open(join(folder, 'file'), 'create')).rejects.toMatchObject({ code: 'EXISTS' });
    await expect(host.files.open('/dev/full', 'read')).rejects.toMatchObject({ code: 'WRONG_KIND' });
    const full = await host.files.open('/dev/full', 'read-write');
    await expect(full.write([new Uint8Array(10)])).rejects.toMatchObject({ path: '/dev/full' });
    await full.close();
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
