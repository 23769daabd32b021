import type { SetTransaction, Writer, WrittenData } from '@virtnbd/backup-set';
import type { HostFile } from '@virtnbd/host';
import { NbdClient } from '@virtnbd/nbd-client';
import { type StreamMeta, StreamWriter } from '@virtnbd/stream-format';
import type { BackupResult } from './context.ts';
import { copyDisk, type FrameWriter } from './copy-disk.ts';
import type { DiskExports } from './disk-exports.ts';
import type { PlannedDisk, PlannedStream } from './disk-plan.ts';
import { BackupError } from './errors.ts';
import type { BackupListener } from './events.ts';
import { ALLOCATION, collectExtents } from './extents.ts';
import { RawImageWriter } from './raw-image-writer.ts';

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
  disk: PlannedDisk,
  options: SaveOptions,
): Promise<BackupResult['disks'][number]> {
  const { tell, signal } = options;
  const { target, virtualSize, file } = disk;
  const incremental = disk.since !== null;
  const contexts = incremental ? [ALLOCATION, options.exports.dirtyContext(target)] : [ALLOCATION];
  const { tls } = options.exports;
  const client = await NbdClient.connect(options.exports.address(target), {
    exportName: target,
    metaContexts: contexts,
    signal,
    ...(tls && { tls }),
  });
  try {
    requireExport(client, disk, contexts);
    const table = await collectExtents(client.extents({ contexts, signal }), {
      target,
      size: virtualSize,
      incremental,
    });
    const { dataBytes, zeroBytes } = table;
    tell({ type: 'disk', disk: target, virtualSize, dataBytes, zeroBytes });
    await using out = await transaction.createData(file);
    const copy = (writer: FrameWriter): Promise<void> =>
      copyDisk(client, writer, table, {
        signal,
        buffers: options.buffers,
        onBytes: (bytes) => tell({ type: 'progress', disk: target, bytes }),
      });
    const written =
      disk.output === 'raw'
        ? await writeRaw(out, virtualSize, copy)
        : await writeStream(out, header(disk, dataBytes, options), options.compress, copy);
    await out.close();
    await client.close();
    await transaction.dataWritten(file, written);
    tell({ type: 'disk-done', disk: target, file, fileSize: written.size });
    return { disk: target, file, fileSize: written.size, virtualSize, dataBytes, zeroBytes };
  } finally {
    client.destroy();
  }
}

type Copy = (writer: FrameWriter) => Promise<void>;

async function writeStream(
  out: HostFile,
  meta: StreamMeta,
  level: number | undefined,
  copy: Copy,
): Promise<WrittenData> {
  const writer = new StreamWriter(out, meta, { compression: level === undefined ? undefined : 'lz4', level });
  await writer.start();
  await copy(writer);
  const { size, adler32, chunks } = await writer.finish();
  return { kind: 'stream', size, chunks, adler32 };
}

async function writeRaw(out: HostFile, virtualSize: number, copy: Copy): Promise<WrittenData> {
  const writer = new RawImageWriter(out, virtualSize);
  await copy(writer);
  return { kind: 'raw', ...(await writer.finish()) };
}

function requireExport(client: NbdClient, { target, virtualSize }: PlannedDisk, contexts: readonly string[]): void {
  const refuse = (what: string): BackupError =>
    new BackupError('EXPORT_MISMATCH', `disk ${target}: the backup job's NBD export ${what}`, { disk: target });
  const missing = contexts.find((context) => !client.metaContexts.includes(context));
  if (missing !== undefined) throw refuse(`does not tell ${missing}`);
  if (client.size !== virtualSize)
    throw refuse(`has ${client.size} bytes, the image ${virtualSize}: it was resized just now; try again`);
}

function header(disk: PlannedStream, dataSize: number, options: SaveOptions): StreamMeta {
  return {
    virtualSize: disk.virtualSize,
    dataSize,
    date: options.created.toISOString(),
    diskName: disk.target,
    diskFormat: disk.format,
    ...disk.header,
    compressed: false,
    incremental: disk.since !== null,
    streamVersion: 2,
    writer: options.writer,
    extra: {},
  };
}
