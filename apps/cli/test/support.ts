import { spawn } from 'node:child_process';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach } from 'vitest';

const bin = fileURLToPath(new URL('../bin/virtnbd.js', import.meta.url));
export const fixtures = fileURLToPath(
  new URL('../../../packages/stream-format/test/fixtures/established-2.47/', import.meta.url),
);

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

/** An empty folder with an awkward name, removed after the test. */
export async function tempFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "virtnbd cli [é'] "));
  folders.push(folder);
  return folder;
}

export async function copyOfFixture(name: string): Promise<string> {
  const folder = join(await tempFolder(), 'backup');
  await cp(join(fixtures, name), folder, { recursive: true });
  return folder;
}

export interface Result {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** A home of its own: plugins and caches of whoever runs the tests are left alone. */
export function homeIn(folder: string): NodeJS.ProcessEnv {
  const homes = { HOME: folder, XDG_DATA_HOME: join(folder, 'data'), XDG_CACHE_HOME: join(folder, 'cache') };
  return { ...process.env, ...homes, XDG_CONFIG_HOME: join(folder, 'config'), NO_COLOR: '1' };
}

/** Runs `virtnbd` as a user would, to its end. */
export async function virtnbd(args: readonly string[], env: NodeJS.ProcessEnv = process.env): Promise<Result> {
  return await run(process.execPath, [bin, ...args], env);
}

/** The same on a terminal of so many columns. */
export async function onTerminal(columns: number, args: readonly string[], env = process.env): Promise<Result> {
  const quoted = [process.execPath, bin, ...args].map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
  return await run('script', ['-qec', `stty cols ${columns} rows 40; ${quoted}`, '/dev/null'], env);
}

function run(program: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<Result> {
  const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const parts = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      parts[name] += text;
    });
  }
  return new Promise((resolve, reject) => {
    child.on('error', reject).on('close', (status) => resolve({ status, ...parts }));
  });
}
