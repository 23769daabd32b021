import { dataFileName, type SetTransaction, type Writer } from '@virtnbd/backup-set';
import { NbdClient } from '@virtnbd/nbd-client';
import { type StreamMeta, StreamWriter } from '@virtnbd/stream-format';
import type { BackupResult } from './context.ts';
import { copyDisk } from './copy-disk.ts';
import type { DiskExports } from './disk-exports.ts';
import { BackupError } from './errors.ts';
import type { BackupListener } from './events.ts';
import { ALLOCATION, collectExtents } from './extents.ts';
import type { PlannedDisk, RunPlan } from './plan.ts';

interface SaveOptions {
  readonly exports: DiskExports;
  /** Frames of it that may be in memory at the same time. */
  readonly buffers: number;
  readonly compress?: number;
  readonly writer: Writer;
  readonly created: Date;
  readonly tell: BackupListener;
  readonly signal: AbortSignal;
}

/** Saves one disk: its extents, then its blocks, from the job's export into the `.partial` of its data file. */
export async function saveDisk(
  transaction: SetTransaction,
  plan: RunPlan,
  disk: PlannedDisk,
  options: SaveOptions,
): Promise<BackupResult['disks'][number]> {
  const { tell, signal } = options;
  const { target, virtualSize } = disk;
  const contexts = contextsOf(plan, options.exports, target);
  const client = await NbdClient.connect(options.exports.address(target), {
    exportName: target,
    metaContexts: contexts,
    signal,
  });
  try {
    requireExport(client, disk, contexts);
    const incremental = plan.incremental !== null;
    const table = await collectExtents(client.extents({ contexts, signal }), {
      target,
      size: virtualSize,
      incremental,
    });
    const { dataBytes, zeroBytes } = table;
    tell({ type: 'disk', disk: target, virtualSize, dataBytes, zeroBytes });
    const file = dataFileOf(plan, target);
    await using out = await transaction.createData(file);
    const writer = new StreamWriter(out, header(plan, disk, dataBytes, options), {
      compression: options.compress === undefined ? undefined : 'lz4',
      level: options.compress,
    });
    await writer.start();
    await copyDisk(client, writer, table, {
      signal,
      buffers: options.buffers,
      onBytes: (bytes) => tell({ type: 'progress', disk: target, bytes }),
    });
    const { size, adler32, chunks } = await writer.finish();
    await out.close();
    await client.close();
    await transaction.dataWritten(file, { kind: 'stream', size, chunks, adler32 });
    tell({ type: 'disk-done', disk: target, file, fileSize: size });
    return { disk: target, file, fileSize: size, virtualSize, dataBytes, zeroBytes };
  } finally {
    client.destroy();
  }
}

function contextsOf({ incremental }: RunPlan, exports: DiskExports, target: string): string[] {
  return incremental === null ? [ALLOCATION] : [ALLOCATION, exports.dirtyContext(target)];
}

function requireExport(client: NbdClient, { target, virtualSize }: PlannedDisk, contexts: readonly string[]): void {
  const refuse = (what: string): BackupError =>
    new BackupError('EXPORT_MISMATCH', `disk ${target}: the backup job's NBD export ${what}`, { disk: target });
  const missing = contexts.find((context) => !client.metaContexts.includes(context));
  if (missing !== undefined) throw refuse(`does not tell ${missing}`);
  if (client.size !== virtualSize)
    throw refuse(`has ${client.size} bytes, the image ${virtualSize}: it was resized just now; try again`);
}

function header(plan: RunPlan, disk: PlannedDisk, dataSize: number, options: SaveOptions): StreamMeta {
  return {
    virtualSize: disk.virtualSize,
    dataSize,
    date: options.created.toISOString(),
    diskName: disk.target,
    diskFormat: disk.format,
    ...plan.header,
    compressed: false,
    incremental: plan.incremental !== null,
    streamVersion: 2,
    writer: options.writer,
    extra: {},
  };
}

/** The name of a disk's data file. */
export function dataFileOf({ level, point, checkpoint }: RunPlan, disk: string): string {
  if (level === 'diff') return dataFileName({ disk, level, unixTime: point });
  return dataFileName({ disk, level, ...(checkpoint !== null && { checkpoint }) });
}
