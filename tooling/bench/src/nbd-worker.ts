// Our side of a measurement, in a process of its own: `node nbd-worker.ts JOB`, where JOB is JSON.
import { open, readFile } from 'node:fs/promises';
import { NbdClient } from '@virtnbd/nbd-client';
import { StreamFile } from '@virtnbd/stream-format';
import { Random } from '@virtnbd/test-kit';
import type { NbdJob } from './nbd-job.ts';

const KIB = 1024;
/** A few of them fit the processor's cache. */
const PIECE = 1024 * KIB;

/** Reads the whole export with some pieces in flight, and hands each to `use` as it comes. */
async function readAll(client: NbdClient, use: (bytes: Uint8Array, at: number) => Promise<void> | undefined) {
  let position = 0;
  const lane = async () => {
    const buffer = new Uint8Array(PIECE);
    while (position < client.size) {
      const at = position;
      position += PIECE;
      const bytes = buffer.subarray(0, Math.min(PIECE, client.size - at));
      await client.read(at, bytes);
      await use(bytes, at);
    }
  };
  await Promise.all(Array.from({ length: client.connections === 1 ? 4 : 8 }, lane));
}

async function copyTo(client: NbdClient, path: string): Promise<void> {
  const file = await open(path, 'w');
  await readAll(client, async (bytes, at) => {
    await file.write(bytes, 0, bytes.byteLength, at);
  });
  await file.close();
}

/** Reads of 4 KiB one after the other over the export, so many of them, with so many in flight. */
async function smallReads(client: NbdClient, count: number, depth: number): Promise<void> {
  let next = 0;
  const lane = async () => {
    const buffer = new Uint8Array(4 * KIB);
    while (next < count) {
      const at = (next * buffer.byteLength) % client.size;
      next++;
      await client.read(at, buffer);
    }
  };
  await Promise.all(Array.from({ length: depth }, lane));
}

/** Reads of 4 KiB all over the export. */
async function randomReads(client: NbdClient, count: number, depth: number): Promise<void> {
  const random = new Random(1);
  const blocks = Math.floor(client.size / (4 * KIB));
  let left = count;
  const lane = async () => {
    const buffer = new Uint8Array(4 * KIB);
    while (left-- > 0) await client.read(random.integer(0, blocks - 1) * buffer.byteLength, buffer);
  };
  await Promise.all(Array.from({ length: depth }, lane));
}

/** Decompresses every frame, two at a time, and throws them away. */
async function decompress(path: string): Promise<void> {
  await using file = await open(path);
  const { size } = await file.stat();
  const read = async (offset: number, buffer: Uint8Array) => {
    await file.read(buffer, 0, buffer.length, offset);
  };
  const stream = await StreamFile.open({ size, read });
  let next = 0;
  const lane = async () => {
    while (next < stream.index.count) {
      const frame = next++;
      if (stream.index.kind(frame) === 'data') await stream.payload(frame);
    }
  };
  await Promise.all([lane(), lane()]);
}

async function countExtents(client: NbdClient): Promise<number> {
  let count = 0;
  for await (const runs of client.extents()) count += runs.length;
  return count;
}

async function work(job: NbdJob): Promise<number> {
  if (job.kind === 'decompress') {
    await decompress(job.file);
    return 0;
  }
  const metaContexts = job.kind === 'extents' ? ['base:allocation'] : [];
  const { connections = 1 } = job;
  await using client = await NbdClient.connectUri(job.uri, { connections, metaContexts, readFile });
  if (job.kind === 'read') await readAll(client, () => undefined);
  else if (job.kind === 'copy') await copyTo(client, job.target);
  else if (job.kind === 'small-reads') await smallReads(client, job.count, job.depth);
  else if (job.kind === 'random-reads') await randomReads(client, job.count, job.depth);
  else return await countExtents(client);
  return 0;
}

const job: NbdJob = JSON.parse(process.argv[2] ?? '{}');
const begun = performance.now();
const count = await work(job);
const seconds = (performance.now() - begun) / 1000;
process.stdout.write(JSON.stringify({ seconds, count, peakKib: process.resourceUsage().maxRSS }));
