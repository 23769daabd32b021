import { type Host, HostError, type RunningProgram } from '@virtnbd/host';
import { LINK_CONNECTIONS, type NbdAddress, NbdClient, NbdError } from '@virtnbd/nbd-client';
import { RestoreError } from '../errors.ts';
import { formatOptions, type ImageFormat } from './image-format.ts';
import { noSpace } from './write-errors.ts';

/** An image to create. */
export interface NewImage {
  /** Absolute; the file may exist and be empty. */
  readonly path: string;
  readonly format: ImageFormat;
  /** Bytes. */
  readonly size: number;
  /** `key=value` items for `qemu-img create -o`, without commas. */
  readonly options: readonly string[];
  /** Absolute path of the file for the guest's data, which must not exist. */
  readonly dataFile?: string | undefined;
  readonly preallocate?: boolean | undefined;
}

/** @throws RestoreError NO_SPACE, BAD_FORMAT; HostError */
export async function createImage(host: Host, image: NewImage, signal?: AbortSignal): Promise<void> {
  const { path, format, size, dataFile, preallocate = false } = image;
  const options = [
    ...image.options,
    ...formatOptions(format),
    ...(preallocate ? [PREALLOCATION[format] ?? cannotPreallocate(format)] : []),
    ...(dataFile === undefined ? [] : [`data_file=${commasDoubled(dataFile)}`]),
  ];
  const some = options.length > 0 ? ['-o', options.join(',')] : [];
  try {
    await host.run('qemu-img', ['create', '-q', '-f', format, ...some, path, String(size)], signal ? { signal } : {});
  } catch (error) {
    if (error instanceof HostError && /no space left/i.test(error.stderr ?? '')) throw noSpace(path, error);
    throw error;
  }
}

/** How each format reserves its space, as far as it can. */
const PREALLOCATION: Readonly<Partial<Record<ImageFormat, string>>> = {
  qcow2: 'preallocation=falloc',
  raw: 'preallocation=falloc',
  vdi: 'preallocation=metadata',
  vhdx: 'subformat=fixed',
  vpc: 'subformat=fixed',
};

function cannotPreallocate(format: ImageFormat): never {
  throw new RestoreError('BAD_FORMAT', `the space of an image of format ${format} cannot be reserved; leave out -A`);
}

/** An image, or a device, to serve. */
export interface ServedImage {
  readonly path: string;
  readonly format: ImageFormat;
  readonly readOnly?: boolean;
  /** Compress what is written: whole clusters only, each once. */
  readonly compress?: boolean;
  /** Leave it to the caller to bring what was written to stable storage, once the server has ended. */
  readonly unsynced?: boolean;
  /** Absolute path for the server's socket; at most 107 bytes. */
  readonly socketPath: string;
}

/**
 * Serves an image by a qemu-nbd of its own while `work` uses it. When it resolves, all that was written is on stable
 * storage, unless the caller sees to that, and the server has closed the image. The server has ended by the time it settles, also when this process is
 * killed.
 *
 * @throws RestoreError WRITE_FAILED with what qemu-nbd said, NO_SPACE, TARGET_IN_USE; whatever `work` rejects with
 */
export async function withImage<T>(
  host: Host,
  image: ServedImage,
  work: (client: NbdClient) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const connections = host.name === '' ? 1 : LINK_CONNECTIONS;
  // Not --persistent: when this process dies, by whatever means, its connections end, and with them the server.
  const server = await host.start('qemu-nbd', [
    ...(image.readOnly === true ? ['--read-only'] : ['--discard=unmap']),
    ...(image.unsynced === true ? ['--cache=unsafe'] : []),
    `--shared=${connections}`,
    `--socket=${image.socketPath}`,
    ...openOptions(image),
  ]);
  try {
    await host.waitForSocket(image.socketPath, { program: server, ...(signal && { signal }) });
    await using route = await host.route(image.socketPath);
    const result = await useServer({ path: route.path }, connections, image, work, signal);
    const { code } = await server.exited;
    if (code !== 0)
      throw new RestoreError('WRITE_FAILED', `qemu-nbd could not close ${image.path} (exit code ${code})`);
    return result;
  } catch (error) {
    throw aboutImage(error, server, image.path);
  } finally {
    await server.stop();
    await host.files.remove(image.socketPath);
  }
}

async function useServer<T>(
  address: NbdAddress,
  connections: number,
  { readOnly = false }: ServedImage,
  work: (client: NbdClient) => Promise<T>,
  signal: AbortSignal | undefined,
): Promise<T> {
  const metaContexts = [CONTEXT];
  const client = await NbdClient.connect(address, { metaContexts, connections, ...(signal && { signal }) });
  try {
    const result = await work(client);
    if (!readOnly) await client.flush(signal ? { signal } : {});
    await client.close();
    return result;
  } finally {
    client.destroy();
  }
}

/** Tells what of an image reads as zero. */
const CONTEXT = 'base:allocation';

function openOptions({ path, format, compress = false }: ServedImage): string[] {
  if (!compress) return [`--format=${format}`, path];
  const file = `file.file.driver=file,file.file.filename=${commasDoubled(path)}`;
  return ['--image-opts', `driver=compress,file.driver=${format},${file}`];
}

/** A comma ends an option of qemu, two of them are one in its value. */
function commasDoubled(path: string): string {
  return path.replaceAll(',', ',,');
}

/** An error of the image's server, with the image that it is about. */
function aboutImage(error: unknown, server: RunningProgram, path: string): unknown {
  const words = server.stderr().trim();
  const failed = error instanceof HostError && error.code === 'PROGRAM_FAILED';
  if (failed && /\block\b|in use|busy/i.test(words)) {
    const text = `${path} is in use, by a VM or another program; qemu-nbd says: ${words}`;
    return new RestoreError('TARGET_IN_USE', text, { cause: error });
  }
  if (!(error instanceof NbdError)) return error;
  if (error.errno === 'ENOSPC') return noSpace(path, error);
  const said = words === '' ? '' : `; qemu-nbd says: ${words}`;
  return new RestoreError('WRITE_FAILED', `${path} could not be written: ${error.message}${said}`, { cause: error });
}
