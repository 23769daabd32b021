import type { FrameIndex } from '@virtnbd/stream-format';

/*
 * What a chain of layers says of every byte, as columns of typed arrays: extent i covers starts[i] to starts[i + 1]
 * (the last one without end) and belongs to a frame of a layer, or is marked ABSENT or BELOW. A million extents take
 * 16 MB.
 *
 * A layer alone is such a map: its frames, and BELOW where it says nothing. Where a disk was once cut, everything from
 * there on is ABSENT: what an older layer holds there is gone, also when the disk grows again later. So laying one map
 * over another is associative, and a chain of n layers is merged in pairs, in log2 n rounds that are linear each.
 */

/** No layer holds it: it reads as zero. */
export const ABSENT = -1;
/** This layer says nothing of it: look in the layers below. */
export const BELOW = -2;

export interface ExtentMap {
  readonly count: number;
  readonly starts: Float64Array;
  /** Number of the layer, ABSENT or BELOW. */
  readonly layers: Int32Array;
  /** Number of the frame in its layer; −1 without one. */
  readonly frames: Int32Array;
}

class ExtentMapBuilder {
  readonly #starts: Float64Array;
  readonly #layers: Int32Array;
  readonly #frames: Int32Array;
  #count = 0;

  constructor(capacity: number) {
    this.#starts = new Float64Array(capacity);
    this.#layers = new Int32Array(capacity);
    this.#frames = new Int32Array(capacity);
  }

  /** Adds an extent, joined with the one before when both are of the same frame or mark. */
  add(start: number, layer: number, frame: number): void {
    const last = this.#count - 1;
    if (last >= 0 && this.#layers[last] === layer && this.#frames[last] === frame) return;
    this.#starts[this.#count] = start;
    this.#layers[this.#count] = layer;
    this.#frames[this.#count] = frame;
    this.#count++;
  }

  build(): ExtentMap {
    return {
      count: this.#count,
      starts: this.#starts.slice(0, this.#count),
      layers: this.#layers.slice(0, this.#count),
      frames: this.#frames.slice(0, this.#count),
    };
  }
}

/**
 * The map of one layer.
 *
 * @param size of the disk in this layer, in bytes
 * @param whole whether the layer is a base: what it does not hold is zero, whatever lies below
 */
export function layerMap(index: FrameIndex, layer: number, size: number, whole: boolean): ExtentMap {
  const gap = whole ? ABSENT : BELOW;
  const map = new ExtentMapBuilder(2 * index.count + 2);
  let end = 0;
  for (let frame = 0; frame < index.count; frame++) {
    const start = index.start(frame);
    if (start > end) map.add(end, gap, -1);
    map.add(start, layer, frame);
    end = start + index.length(frame);
  }
  if (size > end) map.add(end, gap, -1);
  map.add(size, ABSENT, -1);
  return map.build();
}

/** Lays one map over another; both begin at 0. */
export function overlay(below: ExtentMap, above: ExtentMap): ExtentMap {
  const map = new ExtentMapBuilder(below.count + above.count);
  let b = 0;
  let a = 0;
  for (let position = 0; position !== Number.POSITIVE_INFINITY; ) {
    const layer = at(above.layers, a);
    if (layer === BELOW) map.add(position, at(below.layers, b), at(below.frames, b));
    else map.add(position, layer, at(above.frames, a));
    const nextBelow = b + 1 < below.count ? at(below.starts, b + 1) : Number.POSITIVE_INFINITY;
    const nextAbove = a + 1 < above.count ? at(above.starts, a + 1) : Number.POSITIVE_INFINITY;
    position = Math.min(nextBelow, nextAbove);
    if (nextBelow === position) b++;
    if (nextAbove === position) a++;
  }
  return map.build();
}

/** The map of a chain, oldest first, of at least one map. */
export function mergeMaps(maps: readonly ExtentMap[]): ExtentMap {
  let round = maps;
  while (round.length > 1) {
    const next: ExtentMap[] = [];
    for (let i = 0; i < round.length; i += 2) {
      const [below, above] = [round[i], round[i + 1]];
      if (below !== undefined) next.push(above === undefined ? below : overlay(below, above));
    }
    round = next;
  }
  const [merged] = round;
  if (merged === undefined) throw new RangeError('No map to merge');
  return merged;
}

/** Number of the extent that holds a position, by binary search. */
export function findExtent(map: ExtentMap, position: number): number {
  let low = 0;
  let high = map.count - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if (at(map.starts, middle) <= position) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** An element that is there by construction. */
function at(column: Float64Array | Int32Array, index: number): number {
  return column[index] ?? 0;
}
