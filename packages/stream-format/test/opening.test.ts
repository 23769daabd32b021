import { describe, expect, test } from 'vitest';
import { bytesSource, type RandomAccessSource, StreamFile } from '../src/index.ts';
import { data, meta, metaJson, stop } from './raw-frames.ts';
import { metaOf } from './writing.ts';

describe('opening', () => {
  test('a million small frames takes few reads; their count and sum are right', async () => {
    const count = 1_000_000;
    const frame = 8;
    const head = metaJson(JSON.stringify(metaOf(count * 4096, count * frame)));
    const bytes = Buffer.alloc(head.length + count * (42 + frame) + 40);
    let position = head.copy(bytes);
    for (let i = 0; i < count; i++) position += data(i * 4096, frame).copy(bytes, position);
    bytes.set(stop, position);
    const { source, reads } = counting(bytesSource(bytes));
    const file = await StreamFile.open(source);
    expect(file.index.count).toBe(count);
    expect(file.index.start(count - 1)).toBe((count - 1) * 4096);
    expect(reads.length).toBeLessThan(300);
  });

  test('large frames are stepped over: a few KiB are read for each', async () => {
    const length = 4 * 1024 * 1024;
    const parts = [meta({ virtualSize: 20 * length, dataSize: 16 * length })];
    for (let i = 0; i < 16; i++) parts.push(data(i * length, length));
    const { source, reads } = counting(bytesSource(Buffer.concat([...parts, stop])));
    await StreamFile.open(source);
    expect(reads.reduce((sum, size) => sum + size, 0)).toBeLessThan(2 * 1024 * 1024);
  });

  test('ends with the reason of the signal', async () => {
    const reason = new Error('enough');
    const opened = StreamFile.open(bytesSource(Buffer.concat([meta(), data(0, 100), stop])), {
      signal: AbortSignal.abort(reason),
    });
    await expect(opened).rejects.toBe(reason);
  });

  test('an error of the source comes through as it is', async () => {
    const broken = new Error('EIO');
    const source = { size: 1000, read: () => Promise.reject(broken) };
    await expect(StreamFile.open(source, { name: 'x' })).rejects.toBe(broken);
  });
});

function counting(inner: RandomAccessSource) {
  const reads: number[] = [];
  const source: RandomAccessSource = {
    size: inner.size,
    read(offset, buffer) {
      reads.push(buffer.length);
      return inner.read(offset, buffer);
    },
  };
  return { source, reads };
}
