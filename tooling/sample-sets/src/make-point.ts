import { dataFileName, type FileRole, type ManifestDisk, SetTransaction } from '@virtnbd/backup-set';
import { LocalHost } from '@virtnbd/host';
import { StreamWriter } from '@virtnbd/stream-format';

export const host = new LocalHost();
export const KIB = 1024;
export const MIB = 1024 * KIB;
export const fixtures = new URL('../../../packages/stream-format/test/fixtures/established-2.47/', import.meta.url)
  .pathname;
export const domain = { name: 'web <01>', uuid: '4cddffbf-aab2-40d6-87f2-d9b20e6f0c07' };
const writer = { name: '@virtnbd/sample-sets', version: '0.0.0' };

/** A frame to write: bytes, or zeroes. */
export type FrameSpec = { start: number; length: number } & ({ zero: true } | { fill: number | Uint8Array });

export interface DiskSpec {
  disk?: string;
  virtualSize: number;
  frames: readonly FrameSpec[];
  /** The whole disk, also in mid-chain. */
  base?: boolean;
  compression?: 'lz4';
  imageName?: string;
}

export interface PointSpec {
  /** Of the checkpoint; 0 is the full. */
  number: number;
  /** Unix time of a differential upon the checkpoint. */
  diff?: string;
  created?: Date;
  disks: readonly DiskSpec[];
  domain?: { name: string; uuid: string };
  /** Bytes of a chunk of the checksums. */
  chunkSize?: number;
  domainXml?: string;
  /** More small files of the point. */
  beside?: readonly { name: string; role: Exclude<FileRole, 'stream' | 'raw' | 'checkpoint-xml'>; content: string }[];
}

/** Makes a restore point as an engine does, manifest and all. */
export async function makePoint(folder: string, spec: PointSpec): Promise<void> {
  const name = `virtnbdbackup.${spec.number}`;
  const previous = spec.number === 0 ? null : `virtnbdbackup.${spec.number - 1}`;
  const run = await SetTransaction.begin(host, folder, {
    point: spec.diff ?? name,
    level: spec.diff !== undefined ? 'diff' : spec.number === 0 ? 'full' : 'inc',
    domain: spec.domain ?? domain,
    writer,
    checkpoint: spec.diff === undefined ? name : null,
    parent: spec.diff === undefined ? previous : name,
  });
  if (spec.diff === undefined) {
    const creationTime = 1_700_000_000 + spec.number;
    const link = previous === null ? '' : `<parent><name>${previous}</name></parent>`;
    const xml = `<domaincheckpoint><name>${name}</name>${link}<creationTime>${creationTime}</creationTime></domaincheckpoint>`;
    await run.setCheckpoint({ creationTime, xml });
  }
  const disks: ManifestDisk[] = [];
  for (const disk of spec.disks) disks.push(await writeDisk(run, disk, spec));
  await run.writeSmall(`vmconfig.${run.intent.point}.xml`, 'domain-xml', spec.domainXml ?? '<domain/>');
  for (const { name: file, role, content } of spec.beside ?? []) await run.writeSmall(file, role, content);
  await run.seal();
  await run.commit({ created: spec.created ?? new Date('2026-11-23T10:00:00Z'), disks });
  await run.finish();
  await run.end();
}

async function writeDisk(run: SetTransaction, spec: DiskSpec, point: PointSpec): Promise<ManifestDisk> {
  const { level, checkpoint, parent, point: id } = run.intent;
  const disk = spec.disk ?? 'vda';
  const base = level === 'full' || spec.base === true;
  const header = {
    checkpointName: checkpoint ?? `virtnbdbackup.${point.number + 1}`,
    parentCheckpoint: base ? '' : (parent ?? ''),
  };
  const name = dataFileName({ disk, level, checkpoint: id, unixTime: id });
  await using file = await run.createData(name);
  const { compression, virtualSize, frames } = spec;
  const meta = {
    virtualSize,
    dataSize: frames.reduce((sum, frame) => sum + ('zero' in frame ? 0 : frame.length), 0),
    date: '2026-11-23T10:00:00',
    diskName: disk,
    diskFormat: 'qcow2',
    checkpointName: header.checkpointName,
    compressed: false,
    parentCheckpoint: header.parentCheckpoint,
    incremental: !base,
    streamVersion: 2,
    writer,
    extra: {},
  };
  const options = point.chunkSize === undefined ? {} : { chunkSize: point.chunkSize };
  const stream = new StreamWriter(file, meta, compression === undefined ? options : { ...options, compression });
  await stream.start();
  for (const frame of frames) {
    if ('zero' in frame) await stream.zero(frame.start, frame.length);
    else await stream.data(frame.start, bytesOf(frame.fill, frame.length));
  }
  const summary = await stream.finish();
  await run.dataWritten(name, { kind: 'stream', ...summary });
  const imageName = spec.imageName ?? `${disk}.qcow2`;
  return { disk, file: name, kind: 'stream', base, virtualSize, format: 'qcow2', imageName, header };
}

function bytesOf(fill: number | Uint8Array, length: number): Uint8Array {
  return typeof fill === 'number' ? new Uint8Array(length).fill(fill) : fill;
}

/** Data at the start of a disk, and zeroes for the rest: a full. */
export function wholeDisk(virtualSize: number, dataLength: number, fill: number): FrameSpec[] {
  return [
    { start: 0, length: dataLength, fill },
    { start: dataLength, length: virtualSize - dataLength, zero: true },
  ];
}
