import { dirname } from 'node:path';
import { type Host, HostError } from '@virtnbd/host';
import { RestoreError } from '../errors.ts';
import type { PlannedImage, PlannedTarget } from '../plan.ts';
import type { DiskContent } from '../source/content.ts';
import type { RestoreWork, WrittenImage } from '../work.ts';
import { compareContent } from './compare-image.ts';
import type { ImageFormat } from './image-format.ts';
import { withImage } from './image-server.ts';
import { PARTIAL } from './target-folder.ts';
import { claimDevice } from './to-device.ts';
import { verifyTarget } from './verify-target.ts';

type OntoTarget = Extract<PlannedTarget, { kind: 'onto' }>;

/**
 * Brings an existing image back to what the disk held, by writing only what differs. While it is neither the one nor the
 * other it has `.partial` after its name, so that no VM starts on it; a restore that is repeated goes on with that.
 *
 * @throws RestoreError TARGET_IN_USE when a VM or another program has the image open; BAD_TARGET
 */
export async function restoreOnto(
  image: PlannedImage,
  target: OntoTarget,
  content: DiskContent,
  work: RestoreWork,
): Promise<WrittenImage> {
  const { host, request, signal } = work;
  const { disk } = image;
  const { path, format } = target;
  await using place = await takeImage(work, image, target, content.size);
  await resize(host, place, format, content.size, signal);
  const served = { path: place.path, format, socketPath: work.socketPath(disk) };
  let written = 0;
  await work.phase(disk, 'compare', content.dataBytes, (onBytes) =>
    withImage(
      host,
      served,
      (client) =>
        compareContent(content, client, {
          signal,
          onBytes,
          onDifference: async ({ start, length, bytes }) => {
            place.changed = true;
            written += length;
            if (bytes === null) await client.writeZeroes(start, length, { signal });
            else await client.write(start, bytes, { signal });
          },
        }),
      signal,
    ),
  );
  if (request.verify === true) await verifyTarget(disk, content, served, work);
  await place.done();
  work.note(`${path}: ${written} bytes differed and were written`);
  return { disk, path, kind: place.kind, format, virtualSize: content.size };
}

/** An image on its way from what it was to what the disk held. */
interface TakenImage extends AsyncDisposable {
  /** Where it is meanwhile. */
  readonly path: string;
  readonly kind: 'file' | 'device';
  /** Bytes of the guest's disk. */
  readonly size: number;
  /** Whether it is no longer what it was. */
  changed: boolean;
  done(): Promise<void>;
}

async function takeImage(
  work: RestoreWork,
  { disk }: PlannedImage,
  { path, format }: OntoTarget,
  size: number,
): Promise<TakenImage> {
  const { host, signal } = work;
  const stat = await host.files.stat(path);
  if (stat?.kind === 'block' && format === 'raw') {
    const claim = await claimDevice(work, disk, path, size);
    const release = (): Promise<void> => Promise.resolve(claim[Symbol.asyncDispose]());
    return { path, kind: 'device', size, changed: false, done: async () => {}, [Symbol.asyncDispose]: release };
  }
  const partial = `${path}${PARTIAL}`;
  const begun = (await host.files.stat(partial))?.kind === 'file';
  if (begun === (stat !== null) || (stat !== null && stat.kind !== 'file')) throw notOne(disk, path, begun);
  const found = await virtualSize(host, begun ? partial : path, format, signal);
  if (!begun) await moveTo(host, path, partial);
  let finished = false;
  const taken = {
    path: partial,
    kind: 'file' as const,
    size: found,
    changed: begun,
    done: async () => {
      await moveTo(host, partial, path);
      finished = true;
    },
    [Symbol.asyncDispose]: async () => {
      if (finished) return;
      // As it was, under its name again, when nothing was written.
      if (!taken.changed) await moveTo(host, partial, path);
      else
        work.note(`${path} is now ${partial}, in part what it was and in part what it is to be: run the restore again`);
    },
  };
  return taken;
}

async function moveTo(host: Host, from: string, to: string): Promise<void> {
  await host.files.rename(from, to);
  await host.files.syncFolder(dirname(to));
}

function notOne(disk: string, path: string, begun: boolean): RestoreError {
  const text = begun
    ? `${path} and ${path}${PARTIAL} are both there: which of them is the image of disk ${disk} cannot be told; move one away`
    : `${path}, which disk ${disk} is to be restored onto, is no image file`;
  return new RestoreError('BAD_TARGET', text, { disk });
}

/** @throws RestoreError TARGET_IN_USE, BAD_TARGET when it is no image of the format */
async function virtualSize(host: Host, path: string, format: ImageFormat, signal: AbortSignal): Promise<number> {
  try {
    // The format is named: a raw image whose guest wrote a qcow2 header must not be taken for one.
    const { stdout } = await host.run('qemu-img', ['info', '--output=json', '-f', format, path], { signal });
    const info: unknown = JSON.parse(stdout);
    const size = typeof info === 'object' && info !== null && 'virtual-size' in info ? info['virtual-size'] : null;
    if (typeof size === 'number' && Number.isSafeInteger(size)) return size;
    throw new RestoreError('BAD_TARGET', `qemu-img tells no size of ${path}`);
  } catch (cause) {
    if (!(cause instanceof HostError) || cause.code !== 'PROGRAM_FAILED') throw cause;
    const words = (cause.stderr ?? '').trim();
    if (/\block\b/i.test(words))
      throw new RestoreError('TARGET_IN_USE', `${path} is in use, by a VM or another program; shut that down first`, {
        cause,
      });
    throw new RestoreError('BAD_TARGET', `${path} is no image of format ${format}: ${words}`, { cause });
  }
}

async function resize(
  host: Host,
  place: TakenImage,
  format: ImageFormat,
  size: number,
  signal: AbortSignal,
): Promise<void> {
  if (place.size === size || place.kind === 'device') return;
  const shrink = size < place.size ? ['--shrink'] : [];
  place.changed = true;
  await host.run('qemu-img', ['resize', '-q', ...shrink, '-f', format, place.path, String(size)], { signal });
}
