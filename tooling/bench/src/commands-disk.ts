import { randomBytes } from 'node:crypto';
import { open, rm } from 'node:fs/promises';
import { Random, run } from '@virtnbd/test-kit';

const KIB = 1024;
const MIB = 1024 * KIB;
const PIECE = 64 * KIB;

/**
 * The disk of performance.md as a qcow2 image: twice as large as its data, three quarters of which lie in one run and one
 * in pieces of 64 KiB; half of it random, half text.
 */
export async function makeDisk(path: string, { dataMiB, fragments }: { dataMiB: number; fragments: number }) {
  const raw = `${path}.raw`;
  const file = await open(raw, 'w');
  const random = new Random(1);
  const run1 = dataMiB * MIB - fragments * PIECE;
  for (let at = 0; at < run1; at += PIECE) await file.write(piece(random, at / PIECE), 0, PIECE, at);
  for (let n = 0; n < fragments; n++) await file.write(piece(random, n), 0, PIECE, run1 + (2 * n + 1) * PIECE);
  await file.truncate(2 * dataMiB * MIB);
  await file.close();
  await run('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', raw, path]);
  await rm(raw);
}

/** A qcow2 image of which every second cluster of 4 KiB has data: so many extents. */
export async function makeFragmented(path: string, extents: number): Promise<void> {
  const raw = `${path}.raw`;
  const file = await open(raw, 'w');
  const cluster = Buffer.alloc(4 * KIB, 0x5a);
  for (let n = 0; n < extents / 2; n++) await file.write(cluster, 0, cluster.length, 2 * n * cluster.length);
  await file.truncate(extents * cluster.length);
  await file.close();
  await run('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', '-o', 'cluster_size=4k', '-S', '4k', raw, path]);
  await rm(raw);
}

function piece(random: Random, number: number): Uint8Array {
  return number % 2 === 0 ? randomBytes(PIECE) : text(random);
}

const WORDS = vocabulary();

function vocabulary(): string[] {
  const random = new Random(2);
  const letters = 'etaoinshrdlucmfwypvbgk';
  return Array.from({ length: 2000 }, () =>
    Array.from({ length: random.integer(2, 9) }, () => letters[random.integer(0, letters.length - 1)]).join(''),
  );
}

function text(random: Random): Uint8Array {
  const words: string[] = [];
  for (let length = 0; length <= PIECE; length += (words.at(-1)?.length ?? 0) + 1) words.push(random.pick(WORDS));
  return Buffer.from(words.join(' ')).subarray(0, PIECE);
}
