import { type StreamFile, StreamFormatError } from '@virtnbd/stream-format';
import { RangeList } from '@virtnbd/virtual-disk';
import type { ReadOptions } from './read-file.ts';

/** Guest bytes of frames that are being decoded at the same time. */
const IN_FLIGHT_BYTES = 64 * 1024 * 1024;
const IN_FLIGHT_FRAMES = 4;

/**
 * Decodes every data frame of a compressed file: LZ4 checksums, and lengths.
 *
 * @returns ranges of the disk that cannot be decoded
 */
export async function decodeFrames(
  file: StreamFile,
  options: ReadOptions,
): Promise<{ damaged: RangeList; decoded: number; message: string | null }> {
  const { index } = file;
  const damaged = new RangeList();
  let message: string | null = null;
  let decoded = 0;
  const waiting: { frame: number; done: Promise<string | null> }[] = [];
  let bytes = 0;
  const settleOldest = async (): Promise<void> => {
    const oldest = waiting.shift();
    if (oldest === undefined) return;
    const failure = await oldest.done;
    const { frame } = oldest;
    bytes -= index.length(frame);
    options.onBytes?.(index.storedLength(frame));
    if (failure === null) decoded++;
    else damaged.add(index.start(frame), index.start(frame) + index.length(frame));
    message ??= failure;
  };
  try {
    for (let frame = 0; frame < index.count; frame++) {
      if (index.kind(frame) === 'zero') continue;
      options.signal?.throwIfAborted();
      bytes += index.length(frame);
      waiting.push({ frame, done: decodeFrame(file, frame) });
      while (waiting.length >= IN_FLIGHT_FRAMES || (bytes > IN_FLIGHT_BYTES && waiting.length > 0))
        await settleOldest();
    }
    while (waiting.length > 0) await settleOldest();
  } finally {
    await Promise.allSettled(waiting.map(({ done }) => done));
  }
  return { damaged, decoded, message };
}

/** Why the frame cannot be decoded; null when it can. */
async function decodeFrame(file: StreamFile, frame: number): Promise<string | null> {
  const length = file.index.length(frame);
  try {
    for (let done = 0; done < length; ) {
      const { start, bytes } = await file.piece(frame, done);
      done = start + bytes.length;
    }
    return null;
  } catch (error) {
    if (error instanceof StreamFormatError) return error.message;
    throw error;
  }
}
