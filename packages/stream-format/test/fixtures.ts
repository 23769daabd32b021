import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { bytesSource, type RandomAccessSource, type StreamFile } from '../src/index.ts';

export const FIXTURES = join(import.meta.dirname, 'fixtures/established-2.47');

export interface FaithfulPoint {
  readonly sha256: string;
  readonly file: string;
}

/** The lines of FAITHFUL.sha256: what the files of a folder hold, applied one after the other. */
export function faithfulPoints(folder: string): FaithfulPoint[] {
  const text = readFileSync(join(FIXTURES, folder, 'FAITHFUL.sha256'), 'utf8');
  return text
    .trim()
    .split('\n')
    .map((line) => {
      const [sha256 = '', file = ''] = line.split(' ');
      return { sha256, file };
    });
}

export function foldersWithPoints(): string[] {
  return readdirSync(FIXTURES).filter((folder) => {
    try {
      return statSync(join(FIXTURES, folder, 'FAITHFUL.sha256')).isFile();
    } catch {
      return false;
    }
  });
}

export function fixtureSource(folder: string, file: string): RandomAccessSource {
  return bytesSource(readFileSync(join(FIXTURES, folder, file)));
}

/** Writes all frames of a file over a disk image in memory. */
export async function applyFrames(file: StreamFile, disk: Uint8Array): Promise<void> {
  const { index } = file;
  for (let frame = 0; frame < index.count; frame++) {
    const range = disk.subarray(index.start(frame), index.start(frame) + index.length(frame));
    if (index.kind(frame) === 'zero') range.fill(0);
    else await file.read(frame, 0, range);
  }
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
