import type { FrameIndex } from '@virtnbd/stream-format';

/** A disk cut into equal cells, and what lies in each: columns of `count` numbers, in bytes. */
export interface DiskMap {
  /** Bytes of a cell; the last one may be shorter. */
  cellBytes: number;
  count: number;
  data: number[];
  zero: number[];
  /** Bytes that the data of the cell takes in the file. */
  stored: number[];
}

const SMALLEST_CELL = 4096;

/** The size of a cell for at most `most` cells over a disk: a power of two, so that borders are round numbers. */
export function cellSizeFor(virtualSize: number, most: number): number {
  let cell = SMALLEST_CELL;
  while (virtualSize / cell > most) cell *= 2;
  return cell;
}

/** Calls back for each part of a range that lies in one cell. */
export function eachCell(
  start: number,
  length: number,
  cellBytes: number,
  visit: (cell: number, bytes: number) => void,
): void {
  const end = start + length;
  for (let cell = Math.floor(start / cellBytes), from = start; from < end; cell++) {
    const to = Math.min(end, (cell + 1) * cellBytes);
    visit(cell, to - from);
    from = to;
  }
}

/** What the frames of one file say of each cell of the disk. */
export function diskMap(index: FrameIndex, virtualSize: number, cellBytes: number): DiskMap {
  const count = Math.ceil(virtualSize / cellBytes);
  const column = (): number[] => new Array<number>(count).fill(0);
  const map: DiskMap = { cellBytes, count, data: column(), zero: column(), stored: column() };
  const add = (to: number[], cell: number, bytes: number): void => {
    to[cell] = (to[cell] ?? 0) + bytes;
  };
  for (let frame = 0; frame < index.count; frame++) {
    const length = index.length(frame);
    if (index.kind(frame) === 'zero') {
      eachCell(index.start(frame), length, cellBytes, (cell, bytes) => add(map.zero, cell, bytes));
      continue;
    }
    const share = index.storedLength(frame) / length;
    eachCell(index.start(frame), length, cellBytes, (cell, bytes) => {
      add(map.data, cell, bytes);
      add(map.stored, cell, bytes * share);
    });
  }
  map.stored = map.stored.map(Math.round);
  return map;
}
