import type { ChainDescription, PointDescription, PointState } from './folder-description.ts';

/** From the best to the worst. */
const ORDER: readonly PointState[] = ['complete', 'partial', 'orphan', 'foreign', 'damaged'];

export function worstState(states: Iterable<PointState>): PointState {
  let worst: PointState = 'complete';
  for (const state of states) if (ORDER.indexOf(state) > ORDER.indexOf(worst)) worst = state;
  return worst;
}

/** The points without a parent in the folder, each with all that follows it. Points in a circle are in none. */
export function chainsOf(points: readonly PointDescription[]): ChainDescription[] {
  const byId = new Map(points.map((point) => [point.id, point]));
  const roots = points.filter(({ parent }) => parent === null || !byId.has(parent));
  return roots.map((root) => {
    const members: PointDescription[] = [];
    const waiting = [root];
    for (let point = waiting.pop(); point !== undefined; point = waiting.pop()) {
      members.push(point);
      waiting.push(...point.children.flatMap((id) => byId.get(id) ?? []).reverse());
    }
    return {
      base: root.id,
      points: members.map(({ id }) => id),
      state: worstState(members.map(({ state }) => state)),
      fileBytes: members.reduce((sum, { fileBytes }) => sum + fileBytes, 0),
    };
  });
}
