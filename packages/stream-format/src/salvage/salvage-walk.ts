import type { Codec } from '../frames/codec.ts';
import { encodeFrameHeader, FRAME_HEADER_BYTES, PAYLOAD_END } from '../frames/frame-header.ts';
import type { RandomAccessSource } from '../source.ts';
import { type BrokenFrame, type FoundFrame, FrameProbe, headerShapes } from './found-frame.ts';

/** Bytes of a damaged header that must still be right, of 40, to know it again by the place that it must have. */
const LIKENESS = 20;
/** The same for a stop frame, which has no place of its own, and is nearly a data frame of a small disk. */
const STOP_LIKENESS = 37;
/** Shapes of a header that are tried without success before the rest of the file is given up. */
const MAX_TRIES = 10_000;
/** Places whose chain is known not to reach the end of the file. */
const MAX_DEAD_ENDS = 1_000_000;

/** What a walk over a damaged file comes upon, in order. */
export type WalkStep =
  | { readonly kind: 'frame'; readonly frame: FoundFrame }
  /** Something is missing between the frame before and the next one, or the end of the disk. */
  | { readonly kind: 'gap' }
  /** The stop frame. */
  | { readonly kind: 'stop' };

export interface WalkOptions {
  readonly codec: Codec | undefined;
  /** Size of the disk. */
  readonly virtualSize: number;
  /** Where the first frame stands; undefined when that is not known. */
  readonly from: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Where a walk has come to. */
interface Place {
  /** Where the next frame should stand; undefined when that is not known. */
  readonly offset: number | undefined;
  /** Where its guest range may begin. */
  readonly guestEnd: number;
  /** The frame before, which counts only when what follows it is sound; `from` is where its guest range might have begun. */
  readonly held: { readonly frame: FoundFrame; readonly from: number } | undefined;
}

/** How a walk goes on after damage. */
interface Resumed {
  /** Frames before the damage that are whole. */
  readonly whole: readonly FoundFrame[];
  readonly gap: boolean;
  readonly place: Place;
}

function placeAfter(frame: FoundFrame, from: number): Place {
  return { offset: frame.end, guestEnd: frame.start + frame.length, held: { frame, from } };
}

/**
 * Walks the frames of a file from its start, and past damage where it can be proven that what stands there goes on with
 * this file, and is not a stream file inside the payload of another. Proofs are:
 *
 * - a header near to the one that must stand there, between the frame before and the next, fits both on the disk and in
 *   the file: it is that header, damaged;
 * - the compressed payload behind a good header is damaged, and the next frame begins on the disk where that one ends;
 * - the chain of frames from there leads to the end of the file.
 */
export class SalvageWalk {
  readonly #source: RandomAccessSource;
  readonly #options: WalkOptions;
  readonly #probe: FrameProbe;
  readonly #deadEnds = new Set<number>();
  #tries = 0;

  constructor(source: RandomAccessSource, options: WalkOptions) {
    this.#source = source;
    this.#options = options;
    this.#probe = new FrameProbe(source, options.codec);
  }

  async *steps(): AsyncGenerator<WalkStep, void, undefined> {
    const { virtualSize, from, signal } = this.#options;
    let place: Place | undefined = { offset: from, guestEnd: 0, held: undefined };
    while (place !== undefined) {
      const at: Place = place;
      signal?.throwIfAborted();
      const { offset, held, guestEnd } = at;
      const bounds = { from: guestEnd, to: virtualSize };
      const found = offset === undefined ? undefined : await this.#probe.at(offset, bounds);
      if (found !== undefined && found.kind !== 'broken') {
        if (held !== undefined) yield { kind: 'frame', frame: held.frame };
        if (found.kind === 'stop') return yield { kind: 'stop' };
        place = placeAfter(found, guestEnd);
        continue;
      }
      const next: Resumed | undefined = (await this.#settleOrder(at)) ?? (await this.#resume(at, found));
      for (const frame of next?.whole ?? (await this.#whole(at, found))) yield { kind: 'frame', frame };
      if (next === undefined ? found !== undefined || !(await this.#isStop(offset)) : next.gap) yield { kind: 'gap' };
      place = next?.place;
    }
  }

  /** The frame before the damage, where it is whole. `found` is a good header behind it. */
  async #whole({ held }: Place, found: BrokenFrame | undefined): Promise<FoundFrame[]> {
    if (held === undefined) return [];
    if (found !== undefined || this.#options.codec !== undefined || held.frame.kind === 'zero') return [held.frame];
    // The length of a plain frame may be what is damaged, unless the file was cut off right behind it.
    return (await this.#probe.endsAt(held.frame.end)) ? [held.frame] : [];
  }

  /**
   * Where two sound frames come one after the other in the file and overlap on the disk, one of them has a damaged start or
   * length: the one is healed that can be, else both are dropped.
   */
  async #settleOrder({ offset, guestEnd, held }: Place): Promise<Resumed | undefined> {
    if (held === undefined || offset === undefined) return undefined;
    const bounds = { from: held.from, to: this.#options.virtualSize };
    const second = await this.#probe.at(offset, bounds);
    if (second === undefined || second.kind === 'broken' || second.kind === 'stop') return undefined;
    const first = await this.#heal(held.frame.headerOffset, held.from, offset, second.start);
    if (first !== undefined) return { whole: [], gap: false, place: placeAfter(first, held.from) };
    const third = await this.#probe.at(second.end, { ...bounds, from: guestEnd });
    if (third !== undefined && third.kind !== 'broken') {
      const thirdStart = third.kind === 'stop' ? undefined : third.start;
      const healed = await this.#heal(offset, guestEnd, second.end, thirdStart);
      if (healed !== undefined) return { whole: [held.frame], gap: false, place: placeAfter(healed, guestEnd) };
    }
    return { whole: [], gap: true, place: { offset: second.end, guestEnd: held.from, held: undefined } };
  }

  /** Where the frames go on after damage. */
  async #resume(at: Place, found: BrokenFrame | undefined): Promise<Resumed | undefined> {
    const { virtualSize, signal } = this.#options;
    const brokenEnd = found === undefined ? undefined : found.start + found.length;
    for await (const offset of headerShapes(this.#source, (at.offset ?? 0) + 1, signal)) {
      if (this.#tries >= MAX_TRIES) return undefined;
      this.#tries++;
      const frame = await this.#probe.at(offset, { from: at.guestEnd, to: virtualSize });
      if (frame === undefined) continue;
      const start = frame.kind === 'stop' ? undefined : frame.start;
      const healed = at.offset === undefined ? undefined : await this.#heal(at.offset, at.guestEnd, offset, start);
      if (healed !== undefined) {
        const whole = at.held === undefined ? [] : [at.held.frame];
        return { whole, gap: false, place: placeAfter(healed, at.guestEnd) };
      }
      if ((brokenEnd !== undefined && start === brokenEnd) || (await this.#reachesEnd(offset, at.guestEnd))) {
        const place = { offset, guestEnd: at.guestEnd, held: undefined };
        return { whole: await this.#whole(at, found), gap: true, place };
      }
    }
    return undefined;
  }

  /** The frame between a place and the next frame, if the damaged header there is near to the one that fits. */
  async #heal(
    offset: number,
    start: number,
    next: number,
    nextStart = this.#options.virtualSize,
  ): Promise<FoundFrame | undefined> {
    const length = nextStart - start;
    const payload = offset + FRAME_HEADER_BYTES;
    if (length <= 0) return undefined;
    const kind = next === payload ? 'zero' : 'data';
    const header = encodeFrameHeader(kind, start, length);
    if ((await this.#probe.likeness(offset, header)) < LIKENESS) return undefined;
    // Nothing but its digits tells the length of a zero frame: they must all be there.
    if (kind === 'zero' && !(await this.#probe.hasLength(offset, header))) return undefined;
    const common = { kind, start, length, headerOffset: offset, payload, end: next } as const;
    if (kind === 'zero') return { ...common, stored: 0 };
    const pieces = await this.#probe.payloadAt(payload, length);
    const stored = pieces?.reduce((sum, size) => sum + size, 0);
    if (stored === undefined || payload + stored + PAYLOAD_END.length !== next) return undefined;
    return { ...common, stored, ...(pieces && pieces.length > 1 && { pieces }) };
  }

  /** Whether the frames from a place lead to a stop frame that ends the file. */
  async #reachesEnd(from: number, guestEnd: number): Promise<boolean> {
    const walked: number[] = [];
    let bounds = { from: guestEnd, to: this.#options.virtualSize };
    for (let offset = from; !this.#deadEnds.has(offset); ) {
      this.#options.signal?.throwIfAborted();
      const frame = await this.#probe.at(offset, bounds);
      if (frame?.kind === 'stop' && (await this.#endsFile(frame.end))) return true;
      walked.push(offset);
      if (frame === undefined || frame.kind === 'broken' || frame.kind === 'stop') break;
      bounds = { ...bounds, from: frame.start + frame.length };
      offset = frame.end;
    }
    for (const offset of walked) if (this.#deadEnds.size < MAX_DEAD_ENDS) this.#deadEnds.add(offset);
    return false;
  }

  /** Whether nothing follows but, in a compressed file, a trailer. */
  async #endsFile(offset: number): Promise<boolean> {
    if (offset === this.#source.size) return true;
    if (this.#options.codec === undefined) return false;
    const window = Buffer.alloc(Math.min(65536, this.#source.size - offset));
    for (let position = offset; position < this.#source.size; position += window.length) {
      const part = window.subarray(0, Math.min(window.length, this.#source.size - position));
      await this.#source.read(position, part);
      const other = part.findIndex((byte) => !TRAILER_BYTES.has(byte));
      // The header at its end holds other letters.
      if (other >= 0) return position + other === this.#source.size - FRAME_HEADER_BYTES;
    }
    return true;
  }

  /** Whether a damaged stop frame stands at an offset: nothing but the end of the file can follow. */
  async #isStop(offset: number | undefined): Promise<boolean> {
    if (offset === undefined || (await this.#probe.likeness(offset, STOP)) < STOP_LIKENESS) return false;
    return await this.#endsFile(offset + FRAME_HEADER_BYTES);
  }
}

const STOP = encodeFrameHeader('stop', 0, 0);
const TRAILER_BYTES = new Set(Buffer.from('0123456789[]{}":, \r\n', 'latin1'));
