import type { SalvagedLayer } from '@virtnbd/backup-set';
import { RangeList } from '@virtnbd/virtual-disk';

/**
 * What a range holds whose content is lost: `zero`: nothing is known of it; `older`: what it held before the damaged
 * increment; `unproven`: what a damaged file says, of which nothing tells where it is damaged.
 */
export type HoleContent = 'zero' | 'older' | 'unproven';

/** A range of a disk that is not known to be right. */
export interface Hole {
  /** Bytes from the start of the disk. */
  readonly start: number;
  readonly length: number;
  readonly content: HoleContent;
  /** The damaged file. */
  readonly file: string;
}

/** The layers that count: from the newest whole one on. */
export function layersThatCount(layers: readonly SalvagedLayer[]): readonly SalvagedLayer[] {
  return layers.slice(
    Math.max(
      0,
      layers.findLastIndex(({ whole }) => whole),
    ),
  );
}

/**
 * Where a disk is not known to be right: what damaged layers may have held, as far as nothing newer lies over it.
 *
 * @param layers of a chain, base first
 * @returns in the order of the files, newest first; those of a file in the order of the disk
 */
export function holesOf(layers: readonly SalvagedLayer[]): Hole[] {
  const holes: Hole[] = [];
  const counting = layersThatCount(layers);
  let covered = new RangeList();
  let end = layers.at(-1)?.virtualSize ?? 0;
  for (const [place, layer] of [...counting.entries()].reverse()) {
    end = Math.min(end, layer.virtualSize);
    const lost = layer.suspect ? RangeList.of([{ start: 0, length: layer.virtualSize }]) : RangeList.of(layer.lost);
    const content = layer.suspect ? 'unproven' : place === 0 ? 'zero' : 'older';
    const seen = lost.without(covered).below(end);
    for (const { start, length } of seen) holes.push({ start, length, content, file: layer.name });
    covered = covered.with(framesOf(layer)).with(lost);
  }
  return holes;
}

function framesOf({ content }: SalvagedLayer): RangeList {
  const frames = new RangeList();
  if (content?.kind !== 'stream') return frames;
  const { index } = content.file;
  for (let frame = 0; frame < index.count; frame++) {
    frames.add(index.start(frame), index.start(frame) + index.length(frame));
  }
  return frames;
}
