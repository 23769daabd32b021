import { expect, test } from 'vitest';
import { readEntries, readNames } from '../src/files/entries.ts';
import { chooseFileSystem, readFileSystems } from '../src/files/file-systems.ts';
import { word } from '../src/files/guestfish.ts';

const LINES = ['/dev/sda1: ext4', '/dev/sda2: swap', '/dev/sdb: xfs', '/dev/vg0/root: ext4', '/dev/sdab3: unknown'];

test('file systems are named by disk, partition and logical volume; what holds no files is left out', () => {
  expect(readFileSystems(LINES, ['vda', 'vdb'])).toEqual([
    { device: '/dev/sda1', type: 'ext4', disk: 'vda', partition: 1, volume: null },
    { device: '/dev/sdb', type: 'xfs', disk: 'vdb', partition: null, volume: null },
    { device: '/dev/vg0/root', type: 'ext4', disk: null, partition: null, volume: 'vg0/root' },
  ]);
});

test('one of several file systems has to be chosen, and the choices are told', () => {
  const known = readFileSystems(LINES, ['vda', 'vdb']);
  expect(chooseFileSystem(known, { partition: 'vg0/root' }).device).toBe('/dev/vg0/root');
  expect(chooseFileSystem(known, { disk: 'vdb' }).device).toBe('/dev/sdb');
  expect(() => chooseFileSystem(known, {})).toThrow(
    '--disk vda --partition 1 (ext4); --disk vdb (xfs); --partition vg0/root',
  );
  expect(() => chooseFileSystem(known, { partition: '9' })).toThrow('Choose one of');
  expect(() => chooseFileSystem([], {})).toThrow('no file system');
});

test('a word for guestfish has no byte that it could take for something else', () => {
  expect(word('/a b"\n$(x)ü')).toBe('"/a\\x20b\\x22\\x0a\\x24\\x28x\\x29\\xc3\\xbc"');
});

test('names that are not UTF-8 are told apart', () => {
  const bytes = Buffer.concat([Buffer.from('one\0two\nlines\0'), Buffer.from([0x61, 0xff, 0])]);
  expect(readNames(bytes)).toEqual([
    { name: 'one', valid: true },
    { name: 'two\nlines', valid: true },
    { name: 'a\\xff', valid: false },
  ]);
});

test('an answer that is not understood, or not complete, is an error', () => {
  expect(() => readEntries(['what?'], ['/a'])).toThrow('not understood');
  expect(() => readEntries(['st_dev: 1', 'st_mode: 33188'], ['/a', '/b'])).toThrow('every file');
  expect(readEntries(['st_dev: 1', 'st_mode: 33188'], ['/a'])[0]).toMatchObject({ kind: 'file', mode: 0o644 });
});
