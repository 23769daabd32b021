import { createHash, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { BackupSet, PARTIAL_SUFFIX, type Proof } from '@virtnbd/backup-set';
import type { Host, HostFile } from '@virtnbd/host';
import { NbdClient } from '@virtnbd/nbd-client';
import { type RandomAccessSource, StreamFile } from '@virtnbd/stream-format';
import { type DiskLayer, VirtualDisk } from '@virtnbd/virtual-disk';
import { BackupError } from '../errors.ts';
import type { BackupListener } from '../events.ts';
import type { DiskExports } from '../job/disk-exports.ts';
import type { PlannedDisk } from '../plan/disk-plan.ts';
import type { RunPlan } from '../plan/plan.ts';
import type { BlockReader } from './copy-disk.ts';

/** Bytes that are compared at a time; a sample is drawn of such blocks. */
const BLOCK = 1 << 20;

interface ProofWork {
  readonly host: Host;
  readonly folder: string;
  readonly plan: RunPlan;
  readonly exports: DiskExports;
  /** How much of each disk to compare, 1 to 100. */
  readonly percent: number;
  /** Milliseconds of the server's silence that end it. */
  readonly nbdIdleMs: number;
  readonly tell: BackupListener;
  readonly signal: AbortSignal;
}

/**
 * Reads back what the point would give, over its chain and out of the files as they are now, and compares it with what
 * the VM's disks held at the point's moment, while the job still shows that.
 *
 * @throws BackupError PROOF_FAILED, naming the disk and the first byte that differs
 */
export async function provePoint(work: ProofWork): Promise<Proof> {
  const seed = randomBytes(16).toString('hex');
  let bytes = 0;
  for (const disk of work.plan.disks) bytes += await proveDisk(work, disk, seed);
  return { percent: work.percent, seed: work.percent === 100 ? null : seed, bytes };
}

async function proveDisk(work: ProofWork, disk: PlannedDisk, seed: string): Promise<number> {
  const { exports, percent, signal, tell } = work;
  const { target, virtualSize } = disk;
  await using files = new AsyncDisposableStack();
  const view = await restoredView(work, disk, files);
  const client = await NbdClient.connect(exports.address(target), {
    exportName: target,
    idleTimeoutMs: work.nbdIdleMs,
    signal,
    ...(exports.tls && { tls: exports.tls }),
  });
  files.defer(() => client.destroy());
  const blocks = [...sample(virtualSize, percent, `${seed} ${target}`)];
  tell({ type: 'proving', disk: target, bytes: blocks.reduce((sum, { length }) => sum + length, 0) });
  const [there, here] = [new Uint8Array(BLOCK), new Uint8Array(BLOCK)];
  let bytes = 0;
  for (const { start, length } of blocks) {
    const expected = there.subarray(0, length);
    const restored = here.subarray(0, length);
    await Promise.all([client.read(start, expected, { signal }), view.read(start, restored, { signal })]);
    if (Buffer.compare(expected, restored) !== 0) throw differs(target, start, expected, restored);
    bytes += length;
  }
  return bytes;
}

/** The disk as a restore of the point would make it. */
async function restoredView(
  { host, folder, plan, signal }: ProofWork,
  { target, file, output, since }: PlannedDisk,
  files: AsyncDisposableStack,
): Promise<BlockReader> {
  const written = files.use(await host.files.open(join(folder, `${file}${PARTIAL_SUFFIX}`), 'read'));
  if (output === 'raw') return written;
  const layers: DiskLayer[] = [];
  if (since !== null && plan.parent !== null) {
    const set = await BackupSet.open(host, folder, { signal });
    const below = files.use(await set.openLayers(target, plan.parent, { signal }));
    if (below.kind === 'stream') layers.push(...below.layers);
  }
  layers.push({ name: file, file: await StreamFile.open(await sourceOf(written)) });
  return VirtualDisk.fromLayers(layers);
}

async function sourceOf(file: HostFile): Promise<RandomAccessSource> {
  return { size: await file.size(), read: (offset, buffer) => file.read(offset, buffer) };
}

/**
 * Blocks of a disk, each with a chance of `percent` in 100, at least one; by the same `seed` always the same ones.
 *
 * @param size bytes of the disk
 */
export function* sample(
  size: number,
  percent: number,
  seed: string,
): Generator<{ readonly start: number; readonly length: number }> {
  const block = (start: number) => ({ start, length: Math.min(BLOCK, size - start) });
  const draw = generator(seed);
  let drawn = false;
  for (let start = 0; start < size; start += BLOCK) {
    if (percent < 100 && draw() * 100 >= percent) continue;
    drawn = true;
    yield block(start);
  }
  if (!drawn && size > 0) yield block(Math.floor(draw() * Math.ceil(size / BLOCK)) * BLOCK);
}

/** Numbers from 0 up to 1 (xorshift128, Marsaglia 2003), which are the same for the same seed everywhere. */
function generator(seed: string): () => number {
  const state = new Uint32Array(4);
  const digest = createHash('sha256').update(seed).digest();
  for (let index = 0; index < 4; index++) state[index] = digest.readUInt32LE(index * 4);
  return () => {
    const [x = 0, y = 0, z = 0, w = 0] = state;
    const t = x ^ (x << 11);
    state.set([y, z, w, w ^ (w >>> 19) ^ t ^ (t >>> 8)]);
    return (state[3] ?? 0) / 2 ** 32;
  };
}

function differs(target: string, start: number, expected: Uint8Array, restored: Uint8Array): BackupError {
  const at = start + expected.findIndex((byte, index) => byte !== restored[index]);
  return new BackupError(
    'PROOF_FAILED',
    `disk ${target}: byte ${at} would be restored with another value than the VM's disk had; the backup is not kept. ` +
      'Check the memory and the disk of the backup host, and report this',
    { disk: target },
  );
}
