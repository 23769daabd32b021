import type { Host } from '@virtnbd/host';
import { type ExtentRun, formatNbdUri, type NbdUri } from '@virtnbd/nbd-client';
import { BackupError } from '../errors.ts';

/** What nbdinfo prints of a disk with a million extents, and room. */
const MAX_OUTPUT = 256 << 20;

/** One extent as `nbdinfo --json --map` prints it. */
interface ToldExtent {
  readonly offset: number;
  readonly length: number;
  readonly type: number;
}

/**
 * A disk's runs as libnbd's `nbdinfo` tells them, one call a meta context, cut to the borders of all: what
 * `NbdClient.extents` gives, found in another way.
 *
 * @throws HostError PROGRAM_MISSING when nbdinfo is not there; BackupError EXPORT_MISMATCH for an answer that is none
 */
export async function* nbdinfoExtents(
  host: Host,
  at: { readonly target: string; readonly uri: NbdUri; readonly contexts: readonly string[] },
  signal: AbortSignal,
): AsyncGenerator<readonly ExtentRun[]> {
  const maps: (readonly ToldExtent[])[] = [];
  for (const context of at.contexts) {
    const args = ['--json', `--map=${context}`, formatNbdUri(at.uri)];
    const { stdout } = await host.run('nbdinfo', args, { maxOutput: MAX_OUTPUT, signal });
    maps.push(readMap(stdout, at.target));
  }
  yield mergeMaps(maps);
}

function readMap(text: string, target: string): ToldExtent[] {
  const map: unknown = JSON.parse(text);
  if (Array.isArray(map) && map.every(isExtent)) return map;
  throw new BackupError('EXPORT_MISMATCH', `disk ${target}: nbdinfo tells no extents of the NBD export`, {
    disk: target,
  });
}

function isExtent(value: unknown): value is ToldExtent {
  if (typeof value !== 'object' || value === null) return false;
  const { offset, length, type } = value as Record<string, unknown>;
  return [offset, length, type].every((number) => Number.isSafeInteger(number));
}

/** Runs with a flag of each map, up to where the shortest of them ends. */
export function mergeMaps(maps: readonly (readonly ToldExtent[])[]): ExtentRun[] {
  const runs: ExtentRun[] = [];
  const next = maps.map(() => 0);
  for (let start = 0; ; ) {
    const here = maps.map((map, index) => map[next[index] ?? 0]);
    if (here.length === 0 || here.some((extent) => extent === undefined)) return runs;
    const extents = here.filter((extent) => extent !== undefined);
    // A map with a gap tells nothing of what is in it.
    if (extents.some(({ offset }) => offset > start)) return runs;
    const end = Math.min(...extents.map(({ offset, length }) => offset + length));
    if (end > start) runs.push({ start, length: end - start, flags: extents.map(({ type }) => type) });
    extents.forEach(({ offset, length }, index) => {
      if (offset + length <= end) next[index] = (next[index] ?? 0) + 1;
    });
    start = end;
  }
}
