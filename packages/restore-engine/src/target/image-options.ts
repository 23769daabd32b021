import { RestoreError } from '../errors.ts';

/**
 * The options of `qemu-img create -f qcow2` that give an image the features of the one that was backed up, from the
 * `qemu-img info` that lies in the backup folder (`D.IDENT.qcow.json`).
 *
 * The file may be damaged or hostile: only the keys and values listed here are taken over. A backing file never is,
 * and neither is anything that names a file: who makes an image with a data file says where that goes.
 *
 * @param text the JSON text; null when the folder has none: qemu's defaults apply
 * @returns `key=value` items for `-o`; none of them contains a comma
 * @throws RestoreError BAD_IMAGE_OPTIONS when the text is no JSON object
 */
export function imageOptions(text: string | null): string[] {
  if (text === null) return [];
  const info = parse(text);
  const data = object(object(info['format-specific']).data);
  return [
    ...choice('compat', data.compat, ['0.10', '1.1']),
    ...powerOfTwo('cluster_size', info['cluster-size'], 512, 2 << 20),
    ...onOff('lazy_refcounts', data['lazy-refcounts']),
    ...powerOfTwo('refcount_bits', data['refcount-bits'], 1, 64),
    ...choice('compression_type', data['compression-type'], ['zlib', 'zstd']),
    ...onOff('extended_l2', data['extended-l2']),
    ...(dataFilePath(text) === null ? [] : onOff('data_file_raw', data['data-file-raw'])),
  ].filter((option) => data.compat !== '0.10' || !VERSION_3_ONLY.includes(option.split('=')[0] ?? ''));
}

/** qcow2 version 2 knows none of these, and qemu-img refuses them there even when they are off. */
const VERSION_3_ONLY = ['lazy_refcounts', 'refcount_bits', 'compression_type', 'extended_l2', 'data_file_raw'];

/**
 * The path of the image that was backed up, as `qemu-img info` named it; null where it tells none.
 *
 * @throws RestoreError BAD_IMAGE_OPTIONS when the text is no JSON object
 */
export function imagePath(text: string): string | null {
  return absolute(parse(text).filename);
}

/**
 * The path of the file that held the guest's data beside a qcow2 image; null where there was none.
 *
 * @throws RestoreError BAD_IMAGE_OPTIONS when the text is no JSON object
 */
export function dataFilePath(text: string): string | null {
  return absolute(object(object(parse(text)['format-specific']).data)['data-file']);
}

function absolute(path: unknown): string | null {
  return typeof path === 'string' && path.startsWith('/') ? path : null;
}

function parse(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch (cause) {
    throw new RestoreError('BAD_IMAGE_OPTIONS', 'the qcow.json in the backup folder is not JSON; it is damaged', {
      cause,
    });
  }
  throw new RestoreError('BAD_IMAGE_OPTIONS', 'the qcow.json in the backup folder is no object; it is damaged');
}

function object(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function choice(key: string, value: unknown, allowed: readonly string[]): string[] {
  return typeof value === 'string' && allowed.includes(value) ? [`${key}=${value}`] : [];
}

function onOff(key: string, value: unknown): string[] {
  return typeof value === 'boolean' ? [`${key}=${value ? 'on' : 'off'}`] : [];
}

function powerOfTwo(key: string, value: unknown, least: number, most: number): string[] {
  if (typeof value !== 'number' || value < least || value > most || !Number.isInteger(Math.log2(value))) return [];
  return [`${key}=${value}`];
}
