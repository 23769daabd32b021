import type { Host, RunningProgram } from '@virtnbd/host';
import { NbdClient } from '@virtnbd/nbd-client';
import type { VirtualDisk } from '@virtnbd/virtual-disk';
import { RestoreError } from './errors.ts';

/** Guest bytes that one write carries. */
const PIECE = 1 << 20;
/** Writes under way at once: bounds the memory of one disk's restore to as many MiB. */
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
    throw withServerWords(error, server, target.path);
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
  const pieces = dataPieces(disk);
  const worker = async (): Promise<void> => {
    const buffer = Buffer.allocUnsafeSlow(PIECE);
    // Not for…of: a worker that leaves its loop would end the generator that all of them share.
    for (let next = pieces.next(); !next.done; next = pieces.next()) {
      stop.throwIfAborted();
      const { start, length } = next.value;
      const piece = buffer.subarray(0, length);
      await disk.read(start, piece, { signal: stop });
      await client.write(start, piece, { signal: stop });
      onBytes?.(length);
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

/** The data extents, cut at most {@link PIECE} long. */
function* dataPieces(disk: VirtualDisk): Generator<{ start: number; length: number }> {
  for (const extent of disk.extents()) {
    if (extent.kind !== 'data') continue;
    const end = extent.start + extent.length;
    for (let start = extent.start; start < end; start += PIECE) yield { start, length: Math.min(PIECE, end - start) };
  }
}

function withServerWords(error: unknown, server: RunningProgram, path: string): unknown {
  const words = server.stderr().trim();
  if (words === '' || !(error instanceof Error)) return error;
  return new RestoreError('WRITE_FAILED', `${path} could not be written: ${error.message}; qemu-nbd says: ${words}`, {
    cause: error,
  });
}
