import { setTimeout as sleep } from 'node:timers/promises';
import { bytesSource, StreamFile, type StreamMeta, StreamWriter } from '@virtnbd/stream-format';
import { describe, expect, test } from 'vitest';
import { copyDisk } from '../src/copy/copy-disk.ts';
import { ExtentTable } from '../src/copy/extent-table.ts';

const MIB = 1 << 20;

/** A disk whose byte at offset n tells n; reads take a time that shuffles their ends. */
function reader(options: { failAt?: number } = {}) {
  let [reads, underWay, most] = [0, 0, 0];
  return {
    async read(offset: number, buffer: Uint8Array): Promise<void> {
      const number = reads++;
      most = Math.max(most, ++underWay);
      await sleep((number * 7) % 5);
      underWay--;
      if (number === options.failAt) throw new Error('EIO');
      buffer.fill((offset / 65536) % 251);
    },
    get reads() {
      return reads;
    },
    /** The most reads at a time. */
    get most() {
      return most;
    },
  };
}

/** Notes the frames in the order of the calls, and checks each payload when its write ends. */
function writer(options: { failAt?: number } = {}) {
  const frames: string[] = [];
  let calls = 0;
  const end = async (): Promise<void> => {
    const call = calls++;
    await sleep((call * 3) % 4);
    if (call === options.failAt) throw new Error('ENOSPC');
  };
  return {
    frames,
    async data(start: number, payload: Uint8Array): Promise<void> {
      frames.push(`data ${start / 65536} ${payload.length / 65536}`);
      const expected = (start / 65536) % 251;
      await end();
      if (payload[0] !== expected || payload.at(-1) !== expected) throw new Error(`wrong bytes at ${start}`);
    },
    async zero(start: number, length: number): Promise<void> {
      frames.push(`zero ${start / 65536} ${length / 65536}`);
      await end();
    },
  };
}

function table(): ExtentTable {
  const extents = new ExtentTable();
  for (let i = 0; i < 40; i++) extents.add(i * MIB, i % 3 === 0 ? 65536 : MIB, i % 4 === 1 ? 'zero' : 'data');
  return extents;
}

test('frames reach the writer in ascending order, with the bytes of their place', async () => {
  const out = writer();
  let bytes = 0;
  await copyDisk(reader(), out, table(), { onBytes: (count) => (bytes += count) });
  const starts = out.frames.map((frame) => Number(frame.split(' ')[1]));
  expect(starts).toEqual(starts.toSorted((a, b) => a - b));
  expect(bytes).toBe(table().dataBytes);
});

test('whichever read fails, the copy fails with its error', async () => {
  const total = reader();
  await copyDisk(total, writer(), table());
  for (let failAt = 0; failAt < total.reads; failAt++)
    await expect(copyDisk(reader({ failAt }), writer(), table())).rejects.toThrow('EIO');
});

test('whichever write fails, the copy fails with its error', async () => {
  const out = writer();
  await copyDisk(reader(), out, table());
  for (let failAt = 0; failAt < out.frames.length; failAt++)
    await expect(copyDisk(reader(), writer({ failAt }), table())).rejects.toThrow('ENOSPC');
});

test('an abort ends the copy with its reason', async () => {
  const controller = new AbortController();
  const stopping = copyDisk(reader(), writer(), table(), {
    signal: controller.signal,
    onBytes: () => controller.abort(new Error('stop')),
  });
  await expect(stopping).rejects.toThrow('stop');
});

test('a long row of zero frames without data is copied', async () => {
  const extents = new ExtentTable();
  for (let i = 0; i < 5000; i++) extents.add(i * 2 * 65536, 65536, 'zero');
  const out = writer();
  await copyDisk(reader(), out, extents);
  expect(out.frames).toHaveLength(5000);
});

describe('into the places of a stream file', () => {
  const meta = (): StreamMeta => ({
    virtualSize: 40 * MIB,
    dataSize: table().dataBytes,
    date: '2026-11-26T18:00:00',
    diskName: 'vda',
    diskFormat: 'raw',
    checkpointName: 'virtnbdbackup.0',
    compressed: false,
    parentCheckpoint: '',
    incremental: false,
    streamVersion: 2,
    extra: {},
  });

  /** As `reader`, and with several buffers. */
  function scattering(options: { failAt?: number } = {}) {
    const one = reader(options);
    return Object.assign(one, {
      async readInto(offset: number, buffers: readonly Uint8Array[]): Promise<void> {
        const whole = Buffer.alloc(buffers.reduce((sum, { length }) => sum + length, 0));
        await one.read(offset, whole);
        let from = 0;
        for (const buffer of buffers) {
          buffer.set(whole.subarray(from, from + buffer.length));
          from += buffer.length;
        }
      },
    });
  }

  async function started(
    write: (chunks: readonly Uint8Array[]) => Promise<void>,
    compression?: 'lz4',
  ): Promise<StreamWriter> {
    const out = new StreamWriter({ write }, meta(), { segments: 3, compression });
    await out.start();
    return out;
  }

  test('each payload is in its frame', async () => {
    const parts: Buffer[] = [];
    const out = await started(async (chunks) => void parts.push(Buffer.concat(chunks)));
    let bytes = 0;
    await copyDisk(scattering(), out, table(), { onBytes: (count) => (bytes += count) });
    await out.finish();
    expect(bytes).toBe(table().dataBytes);
    const file = await StreamFile.open(bytesSource(Buffer.concat(parts)));
    for (let i = 0; i < file.index.count; i++) {
      if (file.index.kind(i) !== 'data') continue;
      const payload = await file.payload(i);
      const wanted = (file.index.start(i) / 65536) % 251;
      expect(payload.every((byte) => byte === wanted)).toBe(true);
    }
  });

  test('reads go on ahead where payloads are compressed, and so have no place', async () => {
    const source = scattering();
    await copyDisk(source, await started(async () => {}, 'lz4'), table());
    expect(source.most).toBeGreaterThanOrEqual(6);
  });

  test('reads go on ahead where small payloads alternate with large ones', async () => {
    const extents = new ExtentTable();
    for (let i = 0; i < 200; i++) extents.add(i * 2 * 65536, i % 2 === 0 ? 65536 : 4096, 'data');
    const source = scattering();
    await copyDisk(source, await started(async () => {}), extents);
    expect(source.most).toBeGreaterThanOrEqual(6);
  });

  test('whichever read fails, the copy fails with its error, though its place is never filled', async () => {
    const total = scattering();
    await copyDisk(total, await started(async () => {}), table());
    for (let failAt = 0; failAt < total.reads; failAt++) {
      const out = await started(async () => {});
      await expect(copyDisk(scattering({ failAt }), out, table())).rejects.toThrow('EIO');
    }
  });

  test('an abort ends a copy that waits for a sink that takes nothing', async () => {
    const out = await started(() => new Promise(() => {}));
    const controller = new AbortController();
    const stopping = copyDisk(scattering(), out, table(), { signal: controller.signal });
    setTimeout(() => controller.abort(new Error('stop')), 50);
    await expect(stopping).rejects.toThrow('stop');
  });

  test('when the sink fails the copy fails with its error', async () => {
    let writes = 0;
    const out = await started(async () => {
      if (writes++ === 4) throw new Error('ENOSPC');
    });
    await expect(copyDisk(scattering(), out, table())).rejects.toThrow('ENOSPC');
  });
});
