import { RangeList } from '@virtnbd/virtual-disk';
import type { DiskView, ViewExtent } from './disk-view.ts';

/** Where two disks may differ. */
export interface ExtentChanges {
  ranges: RangeList;
  /** Bytes of them that the second disk's headers say to be zero. */
  zeroedBytes: number;
}

type Extents = Pick<DiskView, 'size' | 'extents'>;

/** Walks over both disks at once. What only one of them has, because it is larger, counts as different. */
export function changesOf(from: Extents, to: Extents): ExtentChanges {
  const ranges = new RangeList();
  let zeroedBytes = 0;
  const a = cursor(from);
  const b = cursor(to);
  const common = Math.min(from.size, to.size);
  for (let position = 0; position < common; ) {
    const before = a(position);
    const after = b(position);
    const end = Math.min(before.start + before.length, after.start + after.length, common);
    if (!same(before, after)) {
      ranges.add(position, end);
      if (after.kind === 'zero') zeroedBytes += end - position;
    }
    position = end;
  }
  ranges.add(common, Math.max(from.size, to.size));
  return { ranges, zeroedBytes };
}

function same(a: ViewExtent, b: ViewExtent): boolean {
  if (a.kind === 'zero' && b.kind === 'zero') return true;
  return a.kind === b.kind && a.file === b.file && a.frame === b.frame;
}

/** The extent that holds a position, for ascending positions. */
function cursor({ extents, size }: Extents): (position: number) => ViewExtent {
  const iterator = extents()[Symbol.iterator]();
  let current: ViewExtent = { start: 0, length: 0, kind: 'zero', file: '', frame: -1 };
  return (position) => {
    while (position >= current.start + current.length) {
      const next = iterator.next();
      // There are none past the end; nobody asks for one.
      current = next.done
        ? { start: position, length: size - position + 1, kind: 'zero', file: '', frame: -1 }
        : next.value;
    }
    return current;
  };
}
