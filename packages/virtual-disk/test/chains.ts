import { bytesSource, StreamFile, StreamWriter } from '@virtnbd/stream-format';
import type { DiskLayer } from '../src/index.ts';

export interface Frame {
  readonly start: number;
  readonly length: number;
  /** Every byte of the range; 0 stands for a zero frame. */
  readonly fill: number;
}

export interface LayerSpec {
  readonly size: number;
  readonly frames: readonly Frame[];
  readonly compressed: boolean;
  readonly incremental: boolean;
}

/** Writes a layer with our writer and opens it. */
export async function openLayer(spec: LayerSpec, name: string): Promise<DiskLayer> {
  const parts: Uint8Array[] = [];
  const sink = {
    write: async (chunks: readonly Uint8Array[]) => {
      parts.push(Buffer.concat(chunks));
    },
  };
  const dataSize = spec.frames.reduce((sum, { fill, length }) => sum + (fill === 0 ? 0 : length), 0);
  const meta = {
    virtualSize: spec.size,
    dataSize,
    date: '2026-11-23T08:12:30',
    diskName: 'vda',
    checkpointName: name,
    compressed: false,
    parentCheckpoint: false as const,
    incremental: spec.incremental,
    streamVersion: 2,
    extra: {},
  };
  const writer = new StreamWriter(sink, meta, { compression: spec.compressed ? 'lz4' : undefined });
  await writer.start();
  for (const { start, length, fill } of spec.frames) {
    if (fill === 0) await writer.zero(start, length);
    else await writer.data(start, new Uint8Array(length).fill(fill));
  }
  await writer.finish();
  return { name, file: await StreamFile.open(bytesSource(Buffer.concat(parts)), { name }) };
}

/** The disk that a chain makes, byte by byte. */
export function modelOf(layers: readonly LayerSpec[]): Uint8Array {
  let disk = new Uint8Array(0);
  for (const layer of layers) {
    const next = new Uint8Array(layer.size);
    if (layer.incremental) next.set(disk.subarray(0, layer.size));
    for (const { start, length, fill } of layer.frames) next.fill(fill, start, start + length);
    disk = next;
  }
  return disk;
}
