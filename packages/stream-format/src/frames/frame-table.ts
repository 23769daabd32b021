import { StreamFormatError } from '../errors.ts';
import { MAX_PIECE_BYTES } from '../limits.ts';
import { ByteBuilder, ByteReader } from '../write/byte-builder.ts';
import type { Codec } from './codec.ts';
import { FRAME_HEADER_BYTES, PAYLOAD_END } from './frame-header.ts';
import { FrameList, type IndexedFrames } from './frame-list.ts';
import type { StreamMeta } from './meta.ts';
import { trailerBytes } from './trailer.ts';

/*
 * The frame table in a chunk checksum file (SPEC.md, "Frame table"), all numbers as LEB128:
 *
 *   offset of the first frame's header in the stream file
 *   number of frames
 *   a frame, each:  guest bytes between the end of the frame before and its start
 *                   2 × its length, + 1 for a zero frame
 *                   bytes of its payload in the file, in a data frame of a compressed file
 *
 * It stands for the headers: with it a file of large frames is opened without a look at them, and each look would cost
 * the chunk that it lies in.
 */

/** Writes a frame table, frame by frame. */
export class FrameTableBuilder {
  readonly #frames = new ByteBuilder();
  #count = 0;
  #guestEnd = 0;

  /** @param stored bytes of the payload, in a compressed file */
  data(start: number, length: number, stored?: number): void {
    this.#add(start, length, 2 * length);
    if (stored !== undefined) this.#frames.number(stored);
  }

  zero(start: number, length: number): void {
    this.#add(start, length, 2 * length + 1);
  }

  /** @param firstFrame offset of the first frame's header in the file */
  finish(firstFrame: number): Uint8Array {
    const head = new ByteBuilder();
    head.number(firstFrame);
    head.number(this.#count);
    return Buffer.concat([head.bytes(), this.#frames.bytes()]);
  }

  #add(start: number, length: number, code: number): void {
    this.#count++;
    this.#frames.number(start - this.#guestEnd);
    this.#frames.number(code);
    this.#guestEnd = start + length;
  }
}

/**
 * Reads a frame table, with every check that the headers would get.
 *
 * @param file what is known of the stream file: `firstFrame` is where its meta frame ends, if that can be told
 * @throws StreamFormatError BAD_CHECKSUM_FILE when the table contradicts the file or itself
 */
export function readFrameTable(
  table: Uint8Array,
  file: { meta: StreamMeta; codec: Codec | undefined; firstFrame: number | undefined; size: number },
): IndexedFrames {
  const reader = new ByteReader(table);
  const number = (): number => {
    const value = reader.number();
    if (value === undefined) throw contradiction('is cut off or damaged');
    return value;
  };
  const firstFrame = number();
  if (firstFrame !== (file.firstFrame ?? firstFrame)) throw contradiction('begins elsewhere than the frames');
  const count = number();
  if (count > table.length) throw contradiction('declares more frames than it has');
  const list = new FrameList(file.meta, file.codec !== undefined);
  let offset = firstFrame;
  let digits = 0;
  for (let frame = 0; frame < count; frame++) {
    const start = list.order.guestEnd + number();
    const code = number();
    const length = Math.floor(code / 2);
    if (code % 2 === 1) {
      list.addZero(start, length, offset);
      offset += FRAME_HEADER_BYTES;
      continue;
    }
    const stored = file.codec === undefined ? length : number();
    if (file.codec !== undefined) {
      if (length > MAX_PIECE_BYTES || stored < file.codec.smallest || stored > file.codec.most(length)) {
        throw contradiction(`has a payload of ${stored} bytes for ${length}`);
      }
      digits += String(stored).length;
    }
    list.addData(start, length, offset + FRAME_HEADER_BYTES, stored);
    offset += FRAME_HEADER_BYTES + stored + PAYLOAD_END.length;
    if (offset > file.size) throw contradiction('leads past the end of the file');
  }
  const end = offset + FRAME_HEADER_BYTES + (file.codec ? trailerBytes(list.order.dataFrames, digits) : 0);
  if (!reader.atEnd || end !== file.size) throw contradiction('does not end where the file does');
  list.order.finish();
  return list.build();
}

function contradiction(what: string): StreamFormatError {
  return new StreamFormatError('BAD_CHECKSUM_FILE', `The frame table in the chunk checksum file ${what}`);
}
