import { resolve } from 'node:path';
import { UsageError } from '@virtnbd/cli-kit';

/** A disk, and an existing device or file that it is written to. */
export interface DiskTarget {
  readonly disk: string;
  /** Absolute. */
  readonly path: string;
}

/** Reads the values of an option `vda=PATH`. @throws UsageError */
export function diskTargets(option: string, values: readonly string[] = []): DiskTarget[] {
  const targets = values.map((value) => {
    const [, disk, path] = /^([^=/]+)=(.+)$/s.exec(value) ?? [];
    if (disk === undefined || path === undefined)
      throw new UsageError(`${option} ${value}: name the disk and where it goes, as in vda=/path`);
    return { disk, path: resolve(path) };
  });
  for (const { disk, path } of targets) {
    const same = targets.filter((other) => other.disk === disk || other.path === path);
    if (same.length > 1) throw new UsageError(`${option}: ${disk}=${path} is there more than once, in part or whole`);
  }
  return targets;
}
