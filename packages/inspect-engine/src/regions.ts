import type { PointDisk, RestorePoint } from '@virtnbd/backup-set';
import type { FrameIndex } from '@virtnbd/stream-format';
import { cellSizeFor, eachCell } from './disk-map.ts';
import type { DiskRegions } from './folder-description.ts';

/** Adds up, file by file, how often each region of each disk was saved. */
export class RegionCounter {
  readonly #regions = new Map<string, DiskRegions>();

  /** @param cells per disk at most */
  constructor(points: readonly RestorePoint[], cells: number) {
    for (const { disk, virtualSize } of points.flatMap(({ disks }) => disks)) {
      const known = this.#regions.get(disk)?.virtualSize ?? 0;
      if (virtualSize >= known) this.#regions.set(disk, emptyRegions(disk, virtualSize, cells));
    }
  }

  /** Counts a stream file. */
  add({ disk, incremental }: PointDisk, index: FrameIndex): void {
    const regions = this.#regions.get(disk);
    if (regions === undefined) return;
    const touched = new Uint8Array(regions.count);
    for (let frame = 0; frame < index.count; frame++) {
      const length = index.length(frame);
      const data = index.kind(frame) === 'data';
      const share = index.storedLength(frame) / length;
      eachCell(index.start(frame), length, regions.cellBytes, (cell, bytes) => {
        touched[cell] = 1;
        if (incremental) increase(regions.changedBytes, cell, bytes);
        if (!data) return;
        increase(regions.dataBytes, cell, bytes);
        increase(regions.storedBytes, cell, bytes * share);
      });
    }
    if (!incremental) return;
    regions.increments++;
    for (let cell = 0; cell < regions.count; cell++) increase(regions.changes, cell, touched[cell] ?? 0);
  }

  finish(): DiskRegions[] {
    return [...this.#regions.values()]
      .sort((a, b) => (a.disk < b.disk ? -1 : 1))
      .map((regions) => ({ ...regions, storedBytes: regions.storedBytes.map(Math.round) }));
  }
}

function increase(column: number[], cell: number, by: number): void {
  column[cell] = (column[cell] ?? 0) + by;
}

function emptyRegions(disk: string, virtualSize: number, cells: number): DiskRegions {
  const cellBytes = cellSizeFor(virtualSize, cells);
  const count = Math.ceil(virtualSize / cellBytes);
  const column = (): number[] => new Array<number>(count).fill(0);
  return {
    disk,
    virtualSize,
    cellBytes,
    count,
    increments: 0,
    changes: column(),
    changedBytes: column(),
    dataBytes: column(),
    storedBytes: column(),
  };
}
