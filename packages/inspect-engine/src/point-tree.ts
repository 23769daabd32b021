import type { PointDescription } from './folder-description.ts';

/** A point's place in the tree. Lines run in columns: 0 is the trunk, each branch has the next one. */
export interface TreeRow {
  point: PointDescription;
  /** Column of the point. */
  depth: number;
  /** Whether it is the first of a branch, and so joined to the column before its own. */
  branch: boolean;
  /** For each column up to its own: whether a line comes from above, and whether one goes on below. */
  above: boolean[];
  below: boolean[];
}

/** Orders points as a tree: a chain goes straight down, what leaves it (differentials, rivals) is a branch. */
export function pointTree(points: readonly PointDescription[]): TreeRow[] {
  const byId = new Map(points.map((point) => [point.id, point]));
  const roots = points.filter(({ parent }) => parent === null || !byId.has(parent));
  const drawn = new Set<PointDescription>();
  const rows: TreeRow[] = [];
  const place = (first: PointDescription, outer: readonly boolean[]): void => {
    let point: PointDescription | undefined = first;
    while (point !== undefined && !drawn.has(point)) {
      drawn.add(point);
      const children: PointDescription[] = point.children.flatMap((id) => byId.get(id) ?? []);
      const next: PointDescription | undefined = children.findLast((child) => !isLeaf(child));
      const branches = children.filter((child) => child !== next);
      const branch = point === first && outer.length > 0;
      const above = branch ? [...outer.slice(0, -1), true, false] : [...outer, point !== first];
      rows.push({ point, depth: outer.length, branch, above, below: [...outer, children.length > 0] });
      branches.forEach((child, index) => {
        place(child, [...outer, next !== undefined || index < branches.length - 1]);
      });
      point = next;
    }
  };
  for (const root of roots) place(root, []);
  // Points whose links lead in a circle hang on nothing.
  for (const point of points) if (!drawn.has(point)) place(point, []);
  return rows;
}

function isLeaf({ level, id, children }: PointDescription): boolean {
  return children.length === 0 && (level === 'diff' || id.includes('+'));
}
