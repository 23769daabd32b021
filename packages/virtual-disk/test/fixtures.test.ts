import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { bytesSource, StreamFile } from '@virtnbd/stream-format';
import { expect, test } from 'vitest';
import { type DiskLayer, VirtualDisk } from '../src/index.ts';

const FIXTURES = join(import.meta.dirname, '../../stream-format/test/fixtures/established-2.47');

/** FAITHFUL.sha256 of each folder: what its files hold at each point, in the order of the chain. */
for (const folder of readdirSync(FIXTURES)) {
  const points = faithful(folder);
  if (points.length === 0) continue;

  test(`${folder}: the disk at each point is what its files hold`, async () => {
    let layers: DiskLayer[] = [];
    for (const [sha256, name = ''] of points) {
      const file = await StreamFile.open(bytesSource(readFileSync(join(FIXTURES, folder, name))), { name });
      if (!file.meta.incremental) layers = [];
      layers.push({ file, name });
      const disk = VirtualDisk.fromLayers(layers);
      expect(await sha256Of(disk, 1 << 20), name).toBe(sha256);
      expect(await sha256Of(disk, 77_777), `${name} in odd pieces`).toBe(sha256);
    }
  });
}

function faithful(folder: string): string[][] {
  if (!readdirSync(FIXTURES, { withFileTypes: true }).some((entry) => entry.isDirectory() && entry.name === folder)) {
    return [];
  }
  if (!readdirSync(join(FIXTURES, folder)).includes('FAITHFUL.sha256')) return [];
  const text = readFileSync(join(FIXTURES, folder, 'FAITHFUL.sha256'), 'utf8');
  return text
    .trim()
    .split('\n')
    .map((line) => line.split(' '));
}

async function sha256Of(disk: VirtualDisk, step: number): Promise<string> {
  const hash = createHash('sha256');
  for (let offset = 0; offset < disk.size; offset += step) {
    const buffer = new Uint8Array(Math.min(step, disk.size - offset));
    await disk.read(offset, buffer);
    hash.update(buffer);
  }
  return hash.digest('hex');
}
