import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LocalHost } from '@virtnbd/host';
import { expect, onTestFinished, test } from 'vitest';
import { Logger, readPassword, Screen } from '../src/index.ts';

function logger(): { log: Logger; text: () => string } {
  let text = '';
  const stream = { write: (line: string) => (text += line) };
  return { log: new Logger({ screen: new Screen(stream, { colour: false }) }), text: () => text };
}

const none = { user: undefined, password: undefined, 'password-file': undefined };

async function read(sources: Partial<typeof none> | object, env: NodeJS.ProcessEnv = {}) {
  const { log, text } = logger();
  const { files } = new LocalHost();
  const signal = new AbortController().signal;
  const password = await readPassword({ ...none, ...sources }, { files, log, signal, env });
  log.info(`it is ${password}`);
  return { password, text: text(), env };
}

async function fileWith(content: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'cli-kit-password-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, 'password'), content);
  return join(folder, 'password');
}

test('a password on the command line is taken, with a warning, and shown nowhere', async () => {
  const { password, text } = await read({ password: 'geheim' });
  expect(password).toBe('geheim');
  expect(text).toContain('visible in the list of processes');
  expect(text).toContain('it is ***');
});

test('a file gives its first line, before the environment', async () => {
  const file = await fileWith('from file\r\nmore\n');
  const { password, text } = await read({ 'password-file': file }, { VIRTNBD_PASSWORD: 'other' });
  expect([password, text]).toEqual(['from file', expect.stringContaining('it is ***')]);
});

test('the environment gives it, and programs that are started do not get it', async () => {
  const { password, env } = await read({}, { VIRTNBD_PASSWORD: 'from environment' });
  expect([password, env.VIRTNBD_PASSWORD]).toEqual(['from environment', undefined]);
});

test('without any there is none, and an empty file is wrong usage', async () => {
  expect((await read({ user: 'alice' })).password).toBeUndefined();
  await expect(read({ 'password-file': await fileWith('\n') })).rejects.toThrow('empty');
});
