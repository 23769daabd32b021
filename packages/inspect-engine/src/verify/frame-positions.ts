import type { StreamFile } from '@virtnbd/stream-format';
import { RangeList } from '@virtnbd/virtual-disk';

const FRAME_HEADER = 40;
const LINE_END = 2;

/**
 * The ranges of the disk that damaged ranges of its file hold. Of a compressed frame all is lost; where a header is
 * damaged and counts, all that may have been its range.
 *
 * @param options.headers whether readers need the headers, or have a table of the frames
 */
export function mapDamage(file: StreamFile, damaged: RangeList, options: { headers: boolean }): RangeList {
  const { index, meta, compressed } = file;
  const disk = new RangeList();
  let range = 0;
  let position = firstHeader(file);
  let guestEnd = 0;
  for (let frame = 0; frame < index.count; frame++) {
    const payload = position + FRAME_HEADER;
    const payloadEnd = payload + index.storedLength(frame);
    const end = index.kind(frame) === 'zero' ? payload : payloadEnd + LINE_END;
    const start = index.start(frame);
    const length = index.length(frame);
    while (damaged.end(range) <= position) range++;
    for (let hit = range; damaged.start(hit) < end; hit++) {
      const from = damaged.start(hit);
      const to = damaged.end(hit);
      if (from < payload && options.headers) {
        disk.add(guestEnd, frame + 1 < index.count ? index.start(frame + 1) : meta.virtualSize);
      }
      // A zero frame has no payload that damage could reach.
      if (index.kind(frame) === 'zero' || from >= payloadEnd || to <= payload) continue;
      if (compressed) disk.add(start, start + length);
      else disk.add(start + Math.max(0, from - payload), start + Math.min(length, to - payload));
    }
    position = end;
    guestEnd = start + length;
  }
  return disk;
}

/** Where the header of the first frame lies; 0 in a file without data, of which nothing could be lost. */
function firstHeader({ index }: StreamFile): number {
  for (let frame = 0; frame < index.count; frame++) {
    if (index.kind(frame) === 'data') return index.fileOffset(frame) - (frame + 1) * FRAME_HEADER;
  }
  return 0;
}
