import type { Host, RunningProgram } from '@virtnbd/host';
import { NbdClient, NbdError } from '@virtnbd/nbd-client';
import type { VirtualDisk } from '@virtnbd/virtual-disk';
import { RestoreError } from './errors.ts';

/** Guest bytes of one batch: one large piece, or as many small ones as fit. */
const BATCH = 1 << 20;
/** Pieces of one batch; on a fragmented disk they are what is under way at once. */
const PIECES = 16;
/** Batches under way at once: bounds the memory of one disk's restore to as many MiB. */
const IN_FLIGHT = 8;

export interface ImageTarget {
  /** Absolute path of the image to create; the file may exist and be empty. */
  readonly path: string;
  readonly format: 'qcow2' | 'raw';
  /** `key=value` items for `qemu-img create -o`. */
  readonly options: readonly string[];
  /** Absolute path for the socket of the image's NBD server; at most 107 bytes. */
  readonly socketPath: string;
}

/**
 * Creates an image of the disk's size and writes every data extent of `disk` into it once, through qemu-nbd. What is
 * zero is not written: a fresh image reads as zeroes. The image is flushed to stable storage when the promise
 * resolves. The server has ended by the time it settles; after a failure the image is incomplete.
 *
 * @param options.onBytes told the bytes of each piece written
 * @throws RestoreError WRITE_FAILED, with what qemu-nbd said; StreamFormatError for damage in the backup; HostError
 */
export async function writeImage(
  host: Host,
  disk: VirtualDisk,
  target: ImageTarget,
  options: { signal?: AbortSignal; onBytes?: (bytes: number) => void } = {},
): Promise<void> {
  const { signal } = options;
  const create = target.options.length > 0 ? ['-o', target.options.join(',')] : [];
  await host.run('qemu-img', ['create', '-q', '-f', target.format, ...create, target.path, String(disk.size)], {
    ...(signal && { signal }),
  });
  // Not --persistent: when this process dies, by whatever means, its connection ends, and with it the server.
  const server = await host.start('qemu-nbd', [
    `--format=${target.format}`,
    '--discard=unmap',
    `--socket=${target.socketPath}`,
    target.path,
  ]);
  try {
    await host.waitForSocket(target.socketPath, { program: server, ...(signal && { signal }) });
    const client = await NbdClient.connect({ path: target.socketPath }, { ...(signal && { signal }) });
    try {
      if (client.size < disk.size) throw new RestoreError('WRITE_FAILED', `qemu-nbd serves ${client.size} bytes only`);
      await writeExtents(disk, client, options);
      await client.flush(signal ? { signal } : {});
      await client.close();
    } finally {
      client.destroy();
    }
    const { code } = await server.exited;
    if (code !== 0)
      throw new RestoreError('WRITE_FAILED', `qemu-nbd could not close ${target.path} (exit code ${code})`);
  } catch (error) {
    throw aboutImage(error, server, target.path);
  } finally {
    await server.stop();
    await host.files.remove(target.socketPath);
  }
}

async function writeExtents(
  disk: VirtualDisk,
  client: NbdClient,
  { signal, onBytes }: { signal?: AbortSignal; onBytes?: (bytes: number) => void },
): Promise<void> {
  const failure = new AbortController();
  const stop = signal ? AbortSignal.any([signal, failure.signal]) : failure.signal;
  const batches = dataBatches(disk);
  const worker = async (): Promise<void> => {
    const buffer = Buffer.allocUnsafeSlow(BATCH);
    // Not for…of: a worker that leaves its loop would end the generator that all of them share.
    for (let next = batches.next(); !next.done; next = batches.next()) {
      stop.throwIfAborted();
      let used = 0;
      const writes = next.value.map(async ({ start, length }) => {
        const piece = buffer.subarray(used, used + length);
        used += length;
        await disk.read(start, piece, { signal: stop });
        await client.write(start, piece, { signal: stop });
        onBytes?.(length);
      });
      const failed = (await Promise.allSettled(writes)).find((result) => result.status === 'rejected');
      if (failed) throw failed.reason;
    }
  };
  const workers = Array.from({ length: IN_FLIGHT }, () =>
    worker().catch((error: unknown) => {
      failure.abort(error);
    }),
  );
  await Promise.all(workers);
  stop.throwIfAborted();
}

/** The data extents, cut and gathered into batches that fill at most one buffer. */
function* dataBatches(disk: VirtualDisk): Generator<{ start: number; length: number }[]> {
  let batch: { start: number; length: number }[] = [];
  let bytes = 0;
  for (const extent of disk.extents()) {
    if (extent.kind !== 'data') continue;
    const end = extent.start + extent.length;
    for (let start = extent.start; start < end; ) {
      const length = Math.min(BATCH - bytes, end - start);
      batch.push({ start, length });
      bytes += length;
      start += length;
      if (bytes < BATCH && batch.length < PIECES) continue;
      yield batch;
      batch = [];
      bytes = 0;
    }
  }
  if (batch.length > 0) yield batch;
}

/** An error of the image's server, with the image that it is about. */
function aboutImage(error: unknown, server: RunningProgram, path: string): unknown {
  if (!(error instanceof NbdError)) return error;
  if (error.errno === 'ENOSPC')
    return new RestoreError('NO_SPACE', `there is no space left for ${path}; make room, or restore elsewhere`, {
      cause: error,
    });
  const words = server.stderr().trim();
  const said = words === '' ? '' : `; qemu-nbd says: ${words}`;
  return new RestoreError('WRITE_FAILED', `${path} could not be written: ${error.message}${said}`, { cause: error });
}
