import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { KIB } from '@virtnbd/sample-sets';
import { requires } from '@virtnbd/test-kit';
import { expect, test } from 'vitest';
import { bytesOf, Place } from './support.ts';

const SIZE = 1024 * KIB;

/** A frame, or its header: SPEC.md of stream-format. */
function frame(kind: string, start: number, length: number, payload?: Uint8Array): Buffer {
  const hex = (value: number): string => value.toString(16).padStart(16, '0');
  const head = Buffer.from(`${kind} ${hex(start)} ${hex(length)}\r\n`);
  return payload === undefined ? head : Buffer.concat([head, payload, Buffer.from('\r\n')]);
}

/** A stream file of version 1, as old releases of the established tool wrote it: no compression, no checksum beside it. */
function version1(meta: object, frames: readonly Buffer[], dataSize: number): Buffer {
  const json = Buffer.from(
    JSON.stringify({ virtualSize: SIZE, dataSize, date: '2021-05-01T12:00:00.000000', diskName: 'sda', ...meta }),
  );
  return Buffer.concat([frame('meta', 0, json.length, json), ...frames, frame('stop', 0, 0)]);
}

test.skipIf(requires('qemu-img', 'qemu-nbd').skip)(
  'a folder of version 1 is restored exactly, with a note that nothing vouches for it',
  async () => {
    await using place = await Place.make();
    const data = (start: number, length: number, fill: number): Buffer =>
      frame('data', start, length, new Uint8Array(length).fill(fill));
    const full = [data(0, 128 * KIB, 1), frame('zero', 128 * KIB, SIZE - 128 * KIB)];
    const base = { checkpointName: 'virtnbdbackup.0', parentCheckpoint: false, incremental: false };
    await writeFile(join(place.backup, 'sda.full.data'), version1({ ...base, 'stream-version': 1 }, full, 128 * KIB));
    const changes = [data(64 * KIB, 64 * KIB, 2), data(512 * KIB, 512, 3)];
    const inc = { checkpointName: 'virtnbdbackup.1', parentCheckpoint: 'virtnbdbackup.0', incremental: true };
    const name = 'sda.inc.virtnbdbackup.1.data';
    await writeFile(join(place.backup, name), version1({ ...inc, streamVersion: 1 }, changes, 64 * KIB + 512));

    const told: string[] = [];
    await place.restore({}, { onEvent: (event) => void (event.type === 'note' && told.push(event.message)) });
    const expected = Buffer.alloc(SIZE)
      .fill(1, 0, 64 * KIB)
      .fill(2, 64 * KIB, 128 * KIB)
      .fill(3, 512 * KIB, 512 * KIB + 512);
    expect((await bytesOf(join(place.target, 'sda.qcow2'), 'qcow2')).equals(expected)).toBe(true);
    expect(told).toEqual(['sda.full.data', name].map((file) => expect.stringContaining(`${file} was not checked`)));
  },
);
