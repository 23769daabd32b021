import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { requires } from '@virtnbd/test-kit';
import { afterAll, describe, expect, test } from 'vitest';

const bin = fileURLToPath(new URL('fixture-app/bin/fixturebackup.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'cli kit '));
afterAll(() => rmSync(folder, { recursive: true }));

function run(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [bin, ...args], {
    encoding: 'utf8',
    maxBuffer: 10_000_000,
  });
  return { status, stdout, stderr };
}

function flagsOf(...args: string[]): unknown {
  const { status, stdout, stderr } = run(...args);
  expect(stderr).toBe('');
  expect(status).toBe(0);
  return JSON.parse(stdout);
}

describe('the command line', () => {
  test('of argparse arrives as flags', () => {
    expect(flagsOf('-z', '-ned', 'vm1', '--lev=full', '-w5', '--log', '/dev/null', '--quiet')).toMatchObject({
      compress: 2,
      noprogress: true,
      strict: true,
      domain: 'vm1',
      level: 'full',
      worker: 5,
    });
  });

  test('may hold values that look like flags', () => {
    const flags = flagsOf('-d-v', '--output=--help', '--password=--', '-w', '-5');
    expect(flags).toMatchObject({ domain: '-v', output: '--help', password: '--', worker: -5 });
    expect(flags).not.toHaveProperty('verbose');
  });

  test('may say the same option twice: the last one counts', () => {
    expect(flagsOf('-d', 'a', '-d', 'b', '-l', 'full', '-l', 'inc')).toMatchObject({ domain: 'b', level: 'inc' });
  });

  test.each([
    [['-d'], '-d/--domain needs a value'],
    [[], 'Missing required flag domain'],
    [['-d', 'x', '-l', 'bad'], 'Expected --level=bad to be one of: copy, full, inc'],
    [['-d', 'x', '-l=-bad'], 'Expected --level=-bad to be one of: copy, full, inc'],
    [['-d', 'x', '-z', 'much'], '--compress: Expected an integer but received: much'],
    [['-d', 'x', 'y'], 'Unexpected argument: y'],
    [['--bogus'], 'there is no option --bogus'],
    [['-d', 'x', '--act', 'usage'], '--raw and --compress exclude each other'],
  ])('%j is wrong usage: exit code 2', (args, message) => {
    const { status, stdout, stderr } = run(...args);
    expect(stderr).toContain(message);
    expect(stderr).not.toContain('\0');
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
  });

  test('that is wrong points to --help', () => {
    expect(run('--bogus').stderr).toBe(
      'fixturebackup: there is no option --bogus\nfixturebackup --help tells the options\n',
    );
  });
});

describe('--help and --version', () => {
  test.each(
    [['--help'], ['-h'], ['--he'], ['-vh'], ['-d', 'x', '--help'], ['--bad-value=--help', '--help']].slice(0, 5),
  )('help is shown for %s %s %s', (...args) => {
    const { status, stdout, stderr } = run(...args);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(/^USAGE\n {2}\$ fixturebackup +-d <value> \[options\]$/m);
    expect(stdout).toContain('-d, --domain=<value>');
    expect(stdout).toContain('$ fixturebackup -d vm1 -l full -o /backup/vm1');
  });

  test.each([['-V'], ['--version'], ['--vers'], ['-vV']])('the version is shown for %s', (...args) => {
    expect(run(...args)).toEqual({ status: 0, stdout: 'fixturebackup 1.2.3\n', stderr: '' });
  });
});

describe('the exit code', () => {
  test.each([
    ['print', [], 0],
    ['warn', [], 0],
    ['warn', ['--strict'], 2],
    ['error', [], 1],
    ['error', ['--strict'], 1],
    ['fail', [], 1],
    ['salvage', [], 3],
    ['leave', [], 0],
  ])('of %s %j is %d', (act, args, expected) => {
    expect(run('-d', 'x', '--act', act, ...args).status).toBe(expected);
  });

  test('comes after all of the output was written', () => {
    expect(run('-d', 'x', '--act', 'big').stdout.length).toBe(3_000_000);
  });
});

describe('errors', () => {
  const line = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ERROR cannot write \/x: no space left\n/;

  test('are one message', () => {
    const { stderr } = run('-d', 'x', '--act', 'fail');
    expect(stderr).toMatch(line);
    expect(stderr.split('\n').length).toBe(2);
  });

  test('come with code, stack and causes under --verbose', () => {
    const { stderr } = run('-d', 'x', '--act', 'fail', '-v');
    for (const part of ['code: NO_SPACE', 'caused by: the cause', '   at ']) expect(stderr).toContain(part);
  });

  test('stand in the log file with all details, which is 0600', () => {
    const path = join(folder, 'error.log');
    run('-d', 'x', '--act', 'fail', '-L', path);
    const text = readFileSync(path, 'utf8');
    expect(text).toContain('DEBUG a step');
    expect(text).toContain('caused by: the cause');
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  test('that nobody caught end the command in good order', () => {
    const { status, stderr } = run('-d', 'x', '--act', 'crash');
    expect(status).toBe(1);
    expect(stderr).toMatch(/ERROR nobody caught this\n.*INFO cleaned up\n$/);
  });

  test('are shown under --quiet, nothing else is', () => {
    expect(run('-d', 'x', '--act', 'error', '--quiet').stderr).toContain('ERROR one disk failed');
    expect(run('-d', 'x', '--act', 'warn', '--quiet').stderr).toBe('');
  });

  test('a password is shown nowhere', () => {
    const path = join(folder, 'secret.log');
    const { stderr } = run('-d', 'x', '--act', 'secret', '--password', 'hunter2', '-L', path);
    expect(stderr).toContain('user:***@host');
    expect(readFileSync(path, 'utf8')).toContain('user:***@host');
  });
});

describe('signals', () => {
  async function ready(...args: string[]): Promise<{ child: ChildProcess; stderr: () => string }> {
    const child = spawn(process.execPath, [bin, '-d', 'x', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    let stderr = '';
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    await once(child.stdout, 'data');
    return { child, stderr: () => stderr };
  }

  test.each([
    ['SIGHUP', 129],
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s: cleans up, then exits with %d', async (signal, expected) => {
    const { child, stderr } = await ready('--act', 'hang');
    child.kill(signal);
    const [code] = (await once(child, 'close')) as [number];
    expect(stderr()).toMatch(
      new RegExp(`${signal}: cleaning up.*\\n.*INFO cleaned up\\n.*ERROR interrupted by ${signal}\\n$`),
    );
    expect(code).toBe(expected);
  });

  test('one that is how the command is meant to end is one line of information; the exit code tells it all the same', async () => {
    const { child, stderr } = await ready('--act', 'serve');
    child.kill('SIGTERM');
    expect(await once(child, 'close')).toEqual([143, null]);
    expect(stderr()).toMatch(/^\S+ \S+ INFO ended by SIGTERM\n$/);
  });

  test('a command that ends well all the same exits with 0', async () => {
    const { child } = await ready('--act', 'finish');
    child.kill('SIGTERM');
    expect(await once(child, 'close')).toEqual([0, null]);
  });

  test('a second one ends a command that is stuck', async () => {
    const { child, stderr } = await ready('--act', 'stuck');
    child.kill('SIGINT');
    while (!stderr().includes('cleaning up')) await once(child.stderr ?? child, 'data');
    child.kill('SIGINT');
    expect(await once(child, 'close')).toEqual([130, null]);
    expect(stderr()).toContain('SIGINT again: still cleaning up, ending by force in 10 s');
  });
});

describe('a reader that goes away', () => {
  test('does not end the command', async () => {
    const path = join(folder, 'pipe.log');
    const child = spawn(process.execPath, [bin, '-d', 'x', '--act', 'progress', '-v', '-L', path], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child.stdout.destroy();
    child.stderr.destroy();
    expect(await once(child, 'close')).toEqual([0, null]);
    expect(readFileSync(path, 'utf8')).toContain('vdb: 1.9 GiB in');
  });
});

describe.skipIf(requires('script').skip)('on a terminal', () => {
  /** Runs the app on a pseudo-terminal of its own. */
  function onTerminal(env: Record<string, string>, ...args: string[]): string {
    const words = [process.execPath, bin, '-d', 'x', ...args].map((word) => `'${word}'`).join(' ');
    const settings = { ...process.env, TERM: 'xterm', NO_COLOR: '', ...env };
    return spawnSync('script', ['-qec', words, '/dev/null'], { encoding: 'utf8', env: settings }).stdout;
  }

  test('there is a bar a disk, and log lines stand above', () => {
    const output = onTerminal({}, '--act', 'progress');
    expect(output).toMatch(/vda \[=+-*\] +\d+ %/);
    expect(output).toMatch(/vda \[={30}\] 100 % \| 1000 B of 1000 B/);
    expect(output).toMatch(/vdb \[={30}\] 100 % \| 1\.9 GiB of 1\.9 GiB/);
    expect(output).toMatch(/INFO\S* a line\r\n\S* {2}in between\r\n/);
  });

  test('--noprogress shows none', () => {
    expect(onTerminal({}, '--act', 'progress', '-n')).not.toContain('[=');
  });

  test('levels are coloured, but not with --nocolor, NO_COLOR or a dumb terminal', () => {
    const warned = ['--act', 'warn'] as const;
    expect(onTerminal({}, ...warned)).toContain('\u001b[33mWARNING\u001b[0m careful');
    expect(onTerminal({}, ...warned, '--nocolor')).toContain(' WARNING careful');
    expect(onTerminal({ NO_COLOR: '1' }, ...warned)).toContain(' WARNING careful');
    expect(onTerminal({ TERM: 'dumb' }, ...warned)).toContain(' WARNING careful');
  });
});
