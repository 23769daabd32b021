import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor } from '@virtnbd/test-kit';
import { describe, expect, test } from 'vitest';
import { expectGone } from '../expect-gone.ts';
import { oddNames, tempFolder } from '../temp.ts';
import { describeHosts } from './describe-hosts.ts';

const node = process.execPath;

describeHosts('programs', (host) => {
  describe('run', () => {
    test('gives what the program said on both outputs', async () => {
      const { stdout, stderr } = await host().run(node, ['-e', 'console.log("out"); console.error("err")']);
      expect([stdout, stderr]).toEqual(['out\n', 'err\n']);
    });

    test('passes arguments as they are, whatever they hold', async () => {
      const { stdout } = await host().run(node, [
        '-e',
        'console.log(JSON.stringify(process.argv.slice(1)))',
        '--',
        ...oddNames,
        '',
      ]);
      expect(JSON.parse(stdout)).toEqual([...oddNames, '']);
    });

    test('sets LC_ALL=C and adds and removes variables', async () => {
      const script = 'console.log([process.env.LC_ALL, process.env.ADDED, process.env.PATH].join("|"))';
      const { stdout } = await host().run(node, ['-e', script], { env: { ADDED: 'yes', PATH: undefined } });
      expect(stdout).toBe('C|yes|\n');
    });

    test('gives a long output whole', async () => {
      const script = 'for (let i = 0; i < 100_000; i++) process.stdout.write(i + ": é漢\\n")';
      const { stdout } = await host().run(node, ['-e', script]);
      expect(stdout).toBe(Array.from({ length: 100_000 }, (_, i) => `${i}: é漢\n`).join(''));
    });

    test.each([0, 1, 1_000_000])('a program reads %d bytes of any kind to their end', async (length) => {
      const input = randomBytes(length);
      const { stdout } = await host().run('sha256sum', [], { input });
      expect(stdout).toBe(`${createHash('sha256').update(input).digest('hex')}  -\n`);
    });

    test('on abort ends a program that was given input and stays', async () => {
      const pidFile = join(await tempFolder(), 'pid');
      const controller = new AbortController();
      const run = host().run('sh', ['-c', 'cat >/dev/null; echo $$ > "$1"; sleep 600', 'sh', pidFile], {
        signal: controller.signal,
        input: 'x'.repeat(200_000),
      });
      while (!existsSync(pidFile) || (await readFile(pidFile, 'utf8')) === '') await sleep(5);
      const reason = new Error('enough');
      controller.abort(reason);
      await expect(run).rejects.toBe(reason);
      await expectGone(Number(await readFile(pidFile, 'utf8')));
    });

    test('does not mind a program that ends without reading its input', async () => {
      await expect(host().run('true', [], { input: 'x'.repeat(1_000_000) })).resolves.toEqual({
        stdout: '',
        stderr: '',
      });
    });

    test('names exit code and message of a program that failed', async () => {
      await expect(host().run('sh', ['-c', 'echo "no such image" >&2; exit 3'])).rejects.toMatchObject({
        code: 'PROGRAM_FAILED',
        program: 'sh',
        exitCode: 3,
        stderr: 'no such image\n',
        message: 'sh ended with exit code 3: no such image',
      });
    });

    test('names the signal that ended a program', async () => {
      await expect(host().run('sh', ['-c', 'kill -9 $$'])).rejects.toMatchObject({
        code: 'PROGRAM_FAILED',
        signal: 'SIGKILL',
      });
    });

    test.each([1, 2, 126, 127, 255])('tells the exit code %d of a program from not having run', async (exitCode) => {
      const run = host().run('sh', ['-c', 'echo "its own words" >&2; exit "$1"', 'sh', String(exitCode)]);
      await expect(run).rejects.toMatchObject({ code: 'PROGRAM_FAILED', exitCode, stderr: 'its own words\n' });
    });

    test('keeps the arguments, which may be secret, out of the message', async () => {
      const error = await host()
        .run('sh', ['-c', 'exit 1', 'hunter2'])
        .catch((e: unknown) => e);
      expect(String(error)).not.toContain('hunter2');
    });

    test('says what to install for a missing program', async () => {
      await expect(host().run('no-such-program-here', [])).rejects.toMatchObject({
        code: 'PROGRAM_MISSING',
        program: 'no-such-program-here',
      });
      await expect(host().run('qemu-img', [], { env: { PATH: '/nonexistent' } })).rejects.toThrow(
        'apt-get install qemu-utils',
      );
    });

    test('refuses a file that may not be run', async () => {
      const path = join(await tempFolder(), 'script');
      await writeFile(path, '#!/bin/sh\n');
      await chmod(path, 0o600);
      await expect(host().run(path, [])).rejects.toMatchObject({ code: 'PERMISSION' });
    });

    test('refuses a NUL byte in an argument', async () => {
      await expect(host().run('true', ['a\0b'])).rejects.toMatchObject({ code: 'BAD_ARGUMENT' });
    });

    test('stops a program that prints without end', async () => {
      await expect(host().run('yes', [], { maxOutput: 10_000 })).rejects.toMatchObject({ code: 'OUTPUT_LIMIT' });
    });

    test('keeps only the end of a long standard error', async () => {
      const script = 'for (let i = 0; i < 50000; i++) console.error("line " + i); process.exitCode = 1';
      const error = await host()
        .run(node, ['-e', script])
        .catch((e: unknown) => e);
      expect(error).toMatchObject({ code: 'PROGRAM_FAILED' });
      const stderr = (error as { stderr: string }).stderr;
      expect(stderr.length).toBe(64 * 1024);
      expect(stderr.endsWith('line 49999\n')).toBe(true);
    });

    test('ends a program at the time-out', async () => {
      await expect(host().run('sleep', ['600'], { timeoutMs: 50 })).rejects.toMatchObject({ code: 'TIMEOUT' });
    });

    test('on abort ends the program and what it started, then rejects with the reason', async () => {
      const folder = await tempFolder();
      const pidFile = join(folder, 'pid');
      const controller = new AbortController();
      const run = host().run('sh', ['-c', 'sleep 600 & echo $! > "$1"; wait', 'sh', pidFile], {
        signal: controller.signal,
      });
      while (!existsSync(pidFile) || (await readFile(pidFile, 'utf8')) === '') await sleep(5);
      const reason = new Error('enough');
      controller.abort(reason);
      await expect(run).rejects.toBe(reason);
      await expectGone(Number(await readFile(pidFile, 'utf8')));
    });

    test('kills a program that ignores SIGTERM', async () => {
      const script = 'process.on("SIGTERM", () => {}); console.error("ready"); setInterval(() => {}, 1000)';
      const program = await host().start(node, ['-e', script]);
      while (!program.stderr().includes('ready')) await sleep(5);
      await program.stop();
      await expect(program.exited).resolves.toEqual({ code: null, signal: 'SIGKILL', stopped: true });
    });

    test('starts nothing when it is aborted already', async () => {
      const path = join(await tempFolder(), 'made');
      const reason = new Error('too late');
      await expect(host().run('touch', [path], { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
      expect(existsSync(path)).toBe(false);
    });
  });

  describe('start', () => {
    test('tells a crash from an end that was asked for', async () => {
      const crashed = await host().start('sh', ['-c', 'exit 7']);
      await expect(crashed.exited).resolves.toEqual({ code: 7, signal: null, stopped: false });
      const stopped = await host().start('sleep', ['600']);
      await stopped.stop();
      await stopped.stop();
      await expect(stopped.exited).resolves.toEqual({ code: null, signal: 'SIGTERM', stopped: true });
    });

    test('stops the program when the signal is aborted', async () => {
      const controller = new AbortController();
      const program = await host().start('sleep', ['600'], { signal: controller.signal });
      controller.abort();
      await expect(program.exited).resolves.toMatchObject({ stopped: true });
    });

    test('does not stall a program that prints to its standard output', async () => {
      const program = await host().start(node, ['-e', 'process.stdout.write("x".repeat(5e6), () => process.exit(0))']);
      await expect(program.exited).resolves.toMatchObject({ code: 0 });
    });

    test('runs it in a process group of its own, out of reach of Ctrl-C', async () => {
      const program = await host().start('sleep', ['600']);
      const group = async (): Promise<number> => {
        const fields = (await readFile(`/proc/${program.pid}/stat`, 'utf8')).split(') ')[1]?.split(' ');
        return Number(fields?.[2]);
      };
      await waitFor(async () => (await group()) === program.pid);
      await program.stop();
    });

    test('rejects for a missing program', async () => {
      await expect(host().start('no-such-program-here', [])).rejects.toMatchObject({ code: 'PROGRAM_MISSING' });
    });
  });
});
