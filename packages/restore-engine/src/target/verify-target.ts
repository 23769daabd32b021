import { RestoreError } from '../errors.ts';
import type { DiskContent } from '../source/content.ts';
import type { RestoreWork } from '../work.ts';
import { compareContent } from './compare-image.ts';
import { type ServedImage, withImage } from './image-server.ts';

/** Places that a message names. */
const SHOWN = 5;

/**
 * Reads a target back, through a server that opens it anew, and compares it with what the disk held.
 *
 * @throws RestoreError VERIFY_FAILED, with the first places that differ
 */
export async function verifyTarget(
  disk: string,
  content: DiskContent,
  image: ServedImage,
  { host, phase, signal }: Pick<RestoreWork, 'host' | 'phase' | 'signal'>,
): Promise<void> {
  const found: { start: number; length: number }[] = [];
  let count = 0;
  await phase(disk, 'compare', content.dataBytes, (onBytes) =>
    withImage(
      host,
      { ...image, readOnly: true },
      (client) =>
        compareContent(content, client, {
          signal,
          onBytes,
          onDifference: async ({ start, length }) => {
            count++;
            if (found.length < SHOWN) found.push({ start, length });
          },
        }),
      signal,
    ),
  );
  if (count === 0) return;
  const places = found.map(({ start, length }) => `bytes ${start} to ${start + length}`).join(', ');
  const more = count > found.length ? `, and in ${count - found.length} more places` : '';
  const text = `${image.path} does not hold what was written: it differs at ${places}${more}; look after its storage`;
  throw new RestoreError('VERIFY_FAILED', text, { disk });
}
