import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LocalHost } from '@virtnbd/host';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { TAR_END, tarEntry } from '../src/beside/tar.ts';
import { tpmStateArchive } from '../src/beside/tpm-state.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'virtnbd-tar-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

function unpack(archive: Uint8Array): string {
  const target = join(folder, 'unpacked');
  mkdirSync(target);
  execFileSync('tar', ['-C', target, '-xf', '-'], { input: archive });
  return target;
}

const facts = { mode: 0o640, uid: 1000, gid: 1000, modified: 1_700_000_000_000 };

test.each([0, 1, 511, 512, 513, 70_000])('tar reads back a file of %i bytes', (size) => {
  const content = Buffer.alloc(size, 'x');
  const parts = [...tarEntry({ ...facts, kind: 'file', path: 'a file', content }), TAR_END];
  expect(readFileSync(join(unpack(Buffer.concat(parts)), 'a file')).equals(content)).toBe(true);
});

test('a path of more than 100 bytes is cut at a slash', () => {
  const path = `${'long'.repeat(20)}/${'folder'.repeat(10)}/state`;
  const parts = [...tarEntry({ ...facts, kind: 'file', path, content: Buffer.from('1') }), TAR_END];
  expect(readFileSync(join(unpack(Buffer.concat(parts)), path), 'utf8')).toBe('1');
});

test('a name that no header can hold is refused', () => {
  const entry = { ...facts, kind: 'file', path: 'x'.repeat(101), content: new Uint8Array() } as const;
  expect(() => [...tarEntry(entry)]).toThrow('too long');
});

test("a TPM's state comes back from its archive as it was", async () => {
  const state = join(folder, 'state');
  mkdirSync(join(state, 'tpm2'), { recursive: true });
  writeFileSync(join(state, 'tpm2', 'tpm2-00.permall'), Buffer.alloc(6013, 7));
  const parts: Uint8Array[] = [];
  for await (const part of tpmStateArchive(new LocalHost(), state)) parts.push(part);
  const target = unpack(Buffer.concat(parts));
  expect(readFileSync(join(target, 'tpm2', 'tpm2-00.permall')).equals(Buffer.alloc(6013, 7))).toBe(true);
});
