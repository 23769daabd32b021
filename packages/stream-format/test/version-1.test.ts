import { expect, test } from 'vitest';
import { bytesSource, checkStream, readStream, StreamFile } from '../src/index.ts';
import { applyFrames } from './fixtures.ts';

/** Files of version 1 as SPEC.md describes them, letter by letter: none was found that a program of that time wrote. */
const header = (kind: string, start: string, length: string) =>
  `${kind} ${start.padStart(16, '0')} ${length.padStart(16, '0')}\r\n`;
const frames = `${header('data', '0', '5')}hello\r\n${header('zero', '5', '3')}${header('data', '10', '6')} world\r\n`;
const file = (json: string) =>
  Buffer.from(`${header('meta', '0', json.length.toString(16))}${json}\r\n${frames}${header('stop', '0', '0')}`);

const keys =
  '"virtualSize": 32, "dataSize": 11, "diskName": "sda", "checkpointName": "virtnbdbackup.0", "incremental": false';

test.each([
  ['with the old spelling of the version, and no other key than it needs', `{${keys}, "stream-version": 1}`],
  ['with a parent that is false', `{${keys}, "parentCheckpoint": false, "streamVersion": 1}`],
  ['with compression named and off', `{${keys}, "compressed": false, "compressionMethod": "lz4", "streamVersion": 1}`],
  ['with keys of another program', `{${keys}, "date": "2021-05-01", "colour": {"a": [1]}, "streamVersion": 1}`],
])('a file of version 1 %s is read', async (_, json) => {
  const stream = await StreamFile.open(bytesSource(file(json)));
  const disk = Buffer.alloc(32, 0xee);
  await applyFrames(stream, disk);
  expect(disk.toString('latin1')).toBe(`hello\0\0\0${'\xee'.repeat(8)} world${'\xee'.repeat(10)}`);
  expect(stream).toMatchObject({ compressed: false, method: undefined, meta: { streamVersion: 1 } });
  expect((await checkStream(bytesSource(file(json)), { depth: 'frames' })).sound).toBe(true);
  const kinds: string[] = [];
  for await (const { kind } of readStream(oneByOne(file(json)))) kinds.push(kind);
  expect(kinds.filter((kind) => kind !== 'data')).toEqual(['meta', 'zero', 'end']);
});

async function* oneByOne(bytes: Buffer): AsyncGenerator<Uint8Array> {
  for (const byte of bytes) yield Buffer.of(byte);
}
