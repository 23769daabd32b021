import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { requires } from '@virtnbd/test-kit';
import { afterEach, beforeEach, expect, test } from 'vitest';

const source = new URL('../src/compile-cache.ts', import.meta.url).href;
let app: string;
let cache: string;

beforeEach(() => {
  app = mkdtempSync(join(tmpdir(), 'an app '));
  cache = join(app, '.cache');
  mkdirSync(join(app, 'bin'));
  writeFileSync(
    join(app, 'bin/app.mjs'),
    `import { getCompileCacheDir } from 'node:module';
import Module from 'node:module';
if (process.argv[2] === 'old') delete Module.enableCompileCache;
const { useCompileCache } = await import('${source}');
useCompileCache(import.meta.url);
await import('./more.mjs');
process.stdout.write(getCompileCacheDir() ?? 'none');`,
  );
  writeFileSync(join(app, 'bin/more.mjs'), 'export const more = 1;');
});
afterEach(() => rmSync(app, { recursive: true }));

function usedCache(options: { uid?: number; umask?: string; node?: 'old' } = {}): string {
  const { uid, umask = '0000', node = '' } = options;
  const command = `umask ${umask} && exec '${process.execPath}' '${join(app, 'bin/app.mjs')}' ${node}`;
  return execFileSync('/bin/sh', ['-c', command], { encoding: 'utf8', cwd: '/', ...(uid !== undefined && { uid }) });
}

test('what was compiled is kept beside the package, for this user alone, whatever the umask', () => {
  expect(usedCache()).toContain(cache);
  expect(statSync(cache).mode & 0o777).toBe(0o700);
  const [folder] = readdirSync(cache);
  expect(readdirSync(join(cache, folder ?? '')).length).toBeGreaterThan(0);
  expect(usedCache()).toContain(cache);
});

test('a folder that others may write to is not trusted', () => {
  mkdirSync(cache);
  chmodSync(cache, 0o770);
  expect(usedCache()).toBe('none');
});

test.skipIf(requires('root').skip)(
  'nor is one of another user, and a package that cannot be written to has none',
  () => {
    mkdirSync(cache, { mode: 0o700 });
    chownSync(cache, 65534, 65534);
    expect(usedCache()).toBe('none');
    rmSync(cache, { recursive: true });
    chmodSync(app, 0o755);
    expect(usedCache({ uid: 65534 })).toBe('none');
    expect(existsSync(cache)).toBe(false);
  },
);

test('a node that has no such cache goes on without one', () => {
  expect(usedCache({ node: 'old' })).toBe('none');
});
