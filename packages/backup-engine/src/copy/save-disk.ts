import type { SetTransaction, Writer, WrittenData } from '@virtnbd/backup-set';
import { EarlySync, type Host, type HostFile } from '@virtnbd/host';
import { type ExtentRun, NbdClient } from '@virtnbd/nbd-client';
import { type StreamMeta, StreamWriter } from '@virtnbd/stream-format';
import type { BackupResult } from '../context.ts';
import { BackupError } from '../errors.ts';
import type { BackupListener } from '../events.ts';
import type { DiskExports } from '../job/disk-exports.ts';
import type { PlannedDisk, PlannedStream } from '../plan/disk-plan.ts';
import { withDifferences } from './compare-clean.ts';
import { type BlockReader, copyDisk, type FrameWriter } from './copy-disk.ts';
import type { ExtentTable } from './extent-table.ts';
import { ALLOCATION, collectExtents } from './extents.ts';
import { nbdinfoExtents } from './nbdinfo-extents.ts';
import type { RateLimit } from './rate-limit.ts';
import { RawImageWriter } from './raw-image-writer.ts';

interface SaveOptions {
  readonly exports: DiskExports;
  readonly host: Host;
  readonly zeroesAsData: boolean;
  readonly extentsBy: 'client' | 'nbdinfo';
  readonly rateLimit: RateLimit | null;
  /** Milliseconds of the server's silence that end the copy. */
  readonly nbdIdleMs: number;
  /** Frames of it that may be in memory at the same time. */
  readonly buffers: number;
  readonly compress?: number;
  readonly writer: Writer;
  readonly created: Date;
  readonly tell: BackupListener;
  readonly signal: AbortSignal;
  /** The disk at the parent point, where the increment is to be compared with it. The caller closes it. */
  readonly before?: BlockReader;
}

const LZ4_SEGMENTS = 4;
/** Less is written sooner than its blocks are asked for, in bytes. */
const LEAST_ALLOCATED = 64 << 20;

/** Saves one disk, as {@link copyOut} does; a failure names the disk. */
export async function saveDisk(
  transaction: SetTransaction,
  disk: PlannedDisk,
  options: SaveOptions,
): Promise<BackupResult['disks'][number]> {
  try {
    return await copyOut(transaction, disk, options);
  } catch (ended) {
    const failure = firstOf(ended);
    const error = (await options.exports.explain?.(failure)) ?? failure;
    // Not this disk's: the run was told to end, or another disk failed.
    if (options.signal.aborted || error instanceof BackupError) throw error;
    const what = error instanceof Error ? error.message : String(error);
    throw new BackupError('COPY_FAILED', `disk ${disk.target}: ${what}`, { cause: error, disk: disk.target });
  }
}

/** What went wrong first: closing a file that could not be written may fail, too, and then hides why. */
function firstOf(error: unknown): unknown {
  let first = error;
  while (first instanceof Error && first.name === 'SuppressedError' && 'suppressed' in first) first = first.suppressed;
  return first;
}

/** Copies one disk: its extents, then its blocks, from the job's export into the `.partial` of its data file. */
async function copyOut(
  transaction: SetTransaction,
  disk: PlannedDisk,
  options: SaveOptions,
): Promise<BackupResult['disks'][number]> {
  const { tell, signal } = options;
  const { target, virtualSize, file } = disk;
  const incremental = disk.since !== null;
  const contexts = incremental ? [ALLOCATION, options.exports.dirtyContext(target)] : [ALLOCATION];
  const { tls, connections } = options.exports;
  const client = await NbdClient.connect(options.exports.address(target), {
    exportName: target,
    metaContexts: contexts,
    idleTimeoutMs: options.nbdIdleMs,
    signal,
    ...(tls && { tls }),
    ...(connections && { connections }),
  });
  try {
    requireExport(client, disk, contexts);
    const { zeroesAsData, rateLimit } = options;
    const runs = options.extentsBy === 'client' ? client.extents({ contexts, signal }) : asked(disk, contexts, options);
    const told = await collectExtents(runs, { target, size: virtualSize, incremental, zeroesAsData });
    const table = await compared(told, client, disk, options);
    const { dataBytes, zeroBytes } = table;
    tell({ type: 'disk', disk: target, virtualSize, dataBytes, zeroBytes });
    await using out = await transaction.createData(file);
    // The file has all of that, and its headers besides.
    if (isPlain(disk, options) && dataBytes >= LEAST_ALLOCATED) await out.allocate?.(dataBytes);
    await using sync = new EarlySync([out]);
    const copy = (writer: FrameWriter): Promise<void> =>
      copyDisk(rateLimit?.over(client) ?? client, writer, table, {
        signal,
        buffers: options.buffers,
        onBytes: (bytes) => {
          sync.written(bytes);
          tell({ type: 'progress', disk: target, bytes });
        },
      });
    const written =
      disk.output === 'raw'
        ? await writeRaw(out, virtualSize, copy)
        : await writeStream(out, header(disk, dataBytes, options), options, copy);
    await sync.finish();
    await out.close();
    await client.close();
    await transaction.dataWritten(file, written);
    tell({ type: 'disk-done', disk: target, file, fileSize: written.size });
    return { disk: target, file, fileSize: written.size, virtualSize, dataBytes, zeroBytes };
  } finally {
    client.destroy();
  }
}

/** Whether the data frames' payloads are in the file as they are. */
function isPlain({ output }: PlannedDisk, { compress }: SaveOptions): boolean {
  return output !== 'raw' && compress === undefined;
}

function asked(
  { target }: PlannedDisk,
  contexts: readonly string[],
  { host, exports, signal }: SaveOptions,
): AsyncIterable<readonly ExtentRun[]> {
  const address = exports.address(target);
  if ('stream' in address || exports.tls !== undefined)
    throw new BackupError('BAD_OPTIONS', 'nbdinfo cannot use a connection of ours: leave out -q');
  return nbdinfoExtents(host, { target, uri: { address, exportName: target, secure: false }, contexts }, signal);
}

/** The runs that the increment saves: those that the bitmap tells, and where it may be wrong all that differs. */
async function compared(
  told: ExtentTable,
  now: BlockReader,
  { target, since, virtualSize }: PlannedDisk,
  { before, tell, signal }: SaveOptions,
): Promise<ExtentTable> {
  if (before === undefined || since === null) return told;
  tell({ type: 'info', message: `disk ${target}: what is said not to have changed is compared with ${since}` });
  const { table, untold } = await withDifferences(told, virtualSize, { now, before, signal });
  if (untold > 0)
    tell({
      type: 'warning',
      message:
        `disk ${target}: ${untold} bytes differ from ${since} that its bitmap does not tell of, so it is another chain's; ` +
        'they are saved, too',
    });
  return table;
}

type Copy = (writer: FrameWriter) => Promise<void>;

async function writeStream(
  out: HostFile,
  meta: StreamMeta,
  { compress: level, buffers }: SaveOptions,
  copy: Copy,
): Promise<WrittenData> {
  const compression = level === undefined ? undefined : 'lz4';
  // Plain payloads are read into segments; what is compressed has buffers of its own, and needs few segments besides.
  const segments = compression === undefined ? buffers : Math.min(buffers, LZ4_SEGMENTS);
  const writer = new StreamWriter(out, meta, { compression, level, segments });
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
