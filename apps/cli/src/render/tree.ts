import { type PointDescription, pointTree } from '@virtnbd/inspect-engine';

/** A point with what is drawn before it, and before lines below it. */
export interface DrawnPoint {
  point: PointDescription;
  graph: string;
  below: string;
}

/**
 * Draws the tree of points with letters:
 *
 *     ● virtnbdbackup.0
 *     ├─◇ 1795421550
 *     ○ virtnbdbackup.1
 */
export function drawTree(points: readonly PointDescription[]): DrawnPoint[] {
  return pointTree(points).map(({ point, depth, branch, below }) => {
    const line = (column: number): string => (below[column] ? '│ ' : '  ');
    const columns = Array.from({ length: depth }, (_, column) => line(column));
    const before = branch ? [...columns.slice(0, -1), below[depth - 1] ? '├─' : '└─'] : columns;
    return { point, graph: `${before.join('')}${markOf(point)} `, below: `${columns.join('')}${line(depth)}` };
  });
}

function markOf({ level, state, disks }: PointDescription): string {
  if (state !== 'complete') return '✗';
  if (level === 'full' || level === 'copy' || disks.every(({ base }) => base)) return '●';
  return level === 'diff' ? '◇' : '○';
}
