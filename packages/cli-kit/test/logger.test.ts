import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LocalHost } from '@virtnbd/host';
import { afterEach, describe, expect, test } from 'vitest';
import { Logger, type LoggerOptions, Screen } from '../src/index.ts';

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
});

async function logPath(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'log '));
  folders.push(folder);
  return join(folder, 'run.log');
}

function logger(options: Partial<LoggerOptions> = {}) {
  const shown: string[] = [];
  const screen = new Screen({ write: (text) => shown.push(text) });
  const log = new Logger({ screen, now: () => new Date(2026, 10, 23, 20, 0, 7), ...options });
  return { log, shown };
}

const { files } = new LocalHost();

describe('a logger', () => {
  test('prints time, level and text', () => {
    const { log, shown } = logger();
    log.info('started');
    log.warn('careful');
    expect(shown).toEqual(['2026-11-23 20:00:07 INFO started\n', '2026-11-23 20:00:07 WARNING careful\n']);
  });

  test('shows debug lines at level debug only', () => {
    const { log, shown } = logger();
    log.debug('step');
    expect(shown).toEqual([]);
    const verbose = logger({ level: 'debug' });
    verbose.log.debug('step');
    expect(verbose.shown).toEqual(['2026-11-23 20:00:07 DEBUG step\n']);
  });

  test('counts warnings and errors, shown or not', () => {
    const { log } = logger({ level: 'error' });
    log.warn('a');
    log.error('b');
    log.failure(new Error('c'));
    expect([log.warnings, log.errors]).toEqual([1, 2]);
  });

  test('indents further lines and escapes control characters, so that no line can be forged', () => {
    const { log, shown } = logger();
    log.info('vm \u001b[2J\u0007\r name\n2026-11-23 20:00:07 INFO forged\n');
    expect(shown).toEqual(['2026-11-23 20:00:07 INFO vm \\x1b[2J\\x07\\x0d name\n  2026-11-23 20:00:07 INFO forged\n']);
  });

  test('never shows a secret, in whatever form, on screen or in the file', async () => {
    const { log, shown } = logger({ level: 'debug' });
    const path = await logPath();
    await log.attachFile(files, path);
    log.addSecret('p@ss "w/rd');
    log.addSecret('');
    log.info('uri qemu://user:p%40ss%20%22w%2Frd@host');
    log.error(`json ${JSON.stringify({ password: 'p@ss "w/rd' })}`);
    log.failure(new Error('failed', { cause: new Error('no login with p@ss "w/rd') }));
    await log.close();
    for (const text of [shown.join(''), await readFile(path, 'utf8')]) {
      expect(text).not.toMatch(/p@ss|p%40ss/);
      expect(text.match(/\*\*\*/g)?.length).toBe(3);
    }
  });

  test('writes all levels to its file, those before it was attached too, and appends', async () => {
    const path = await logPath();
    for (const run of ['one', 'two']) {
      const { log } = logger();
      log.debug(`early ${run}`);
      await log.attachFile(files, path);
      log.info(`late ${run}`);
      await log.close();
    }
    const text = await readFile(path, 'utf8');
    expect(text.match(/(early|late) \w+/g)).toEqual(['early one', 'late one', 'early two', 'late two']);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  test('goes on, with one warning, when the file cannot be written', async () => {
    const { log, shown } = logger();
    await log.attachFile(files, '/dev/full');
    log.info('a');
    log.info('b');
    await log.close();
    expect(log.warnings).toBe(1);
    expect(shown.at(-1)).toContain('WARNING the log file is no longer written: cannot write /dev/full: no space left');
  });

  test('rejects when the file cannot be opened', async () => {
    await expect(logger().log.attachFile(files, '/nonexistent/x.log')).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });
});
