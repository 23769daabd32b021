import { RestoreError } from '../errors.ts';

/** Formats that qemu-img creates and qemu-nbd writes, with what their files are called. */
const SUFFIXES = {
  qcow2: 'qcow2',
  raw: 'raw',
  vmdk: 'vmdk',
  vdi: 'vdi',
  vhdx: 'vhdx',
  vpc: 'vhd',
  qed: 'qed',
  parallels: 'hdd',
} as const;

/** The format of an image to make. */
export type ImageFormat = keyof typeof SUFFIXES;

export const IMAGE_FORMATS: readonly ImageFormat[] = Object.freeze(Object.keys(SUFFIXES).filter(isImageFormat));

export function isImageFormat(name: string): name is ImageFormat {
  return Object.hasOwn(SUFFIXES, name);
}

/** @throws RestoreError BAD_FORMAT */
export function imageFormat(name: string): ImageFormat {
  if (isImageFormat(name)) return name;
  const known = IMAGE_FORMATS.join(', ');
  throw new RestoreError('BAD_FORMAT', `no image of format ${JSON.stringify(name)} can be made; there are: ${known}`);
}

/** The name of an image that changes its format: the suffix of the old one is replaced. */
export function renamedFor(format: ImageFormat, name: string): string {
  const suffix = `.${SUFFIXES[format]}`;
  const old = Object.values(SUFFIXES).find((known) => name.endsWith(`.${known}`) && name.length > known.length + 1);
  return `${old === undefined ? name : name.slice(0, -old.length - 1)}${suffix}`;
}

/** Options without which an image of the format has not the size that was asked for. */
export function formatOptions(format: ImageFormat): readonly string[] {
  return format === 'vpc' ? ['force_size=on'] : [];
}
