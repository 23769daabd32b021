import { StreamFormatError } from '../errors.ts';
import { lz4ContentSize } from '../frames/lz4-frame.ts';
import { walkSource } from '../frames/walk.ts';
import { MAX_PIECE_BYTES } from '../limits.ts';
import type { RandomAccessSource } from '../source.ts';

/** Where the pieces of a cut frame lie: n + 1 borders in the frame and in the file. */
export interface CutLayout {
  readonly guest: readonly number[];
  readonly file: readonly number[];
}

/**
 * Reads the layout of a cut frame from the headers of its LZ4 frames: each must state its content size.
 *
 * @param frame `sizes`: bytes of its LZ4 frames in the file
 * @throws StreamFormatError BAD_PAYLOAD, UNSUPPORTED
 */
export async function readCutLayout(
  source: RandomAccessSource,
  frame: { fileOffset: number; length: number; sizes: readonly number[] },
): Promise<CutLayout> {
  const file = [frame.fileOffset];
  const guest = [0];
  let { fileOffset } = frame;
  let guestOffset = 0;
  for (const stored of frame.sizes) {
    const size = await walkSource(lz4ContentSize(fileOffset), source);
    if (size === undefined) {
      const message = `The LZ4 frame at byte ${fileOffset} is part of a cut frame and does not tell its size`;
      throw new StreamFormatError('UNSUPPORTED', message, { fileOffset });
    }
    if (size === 0 || size > MAX_PIECE_BYTES || guestOffset + size > frame.length) {
      throw bad(`The LZ4 frame at byte ${fileOffset} declares ${size} bytes`, fileOffset);
    }
    fileOffset += stored;
    guestOffset += size;
    file.push(fileOffset);
    guest.push(guestOffset);
  }
  if (guestOffset !== frame.length) {
    const what = `The LZ4 frames from byte ${frame.fileOffset} hold ${guestOffset} bytes instead of ${frame.length}`;
    throw bad(what, frame.fileOffset);
  }
  return { guest, file };
}

function bad(message: string, fileOffset: number): StreamFormatError {
  return new StreamFormatError('BAD_PAYLOAD', message, { fileOffset });
}
