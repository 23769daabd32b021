import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Host, type HostFile, type HostFiles, LocalHost } from '@virtnbd/host';
import { type StreamMeta, type StreamSummary, StreamWriter } from '@virtnbd/stream-format';
import { afterEach } from 'vitest';
import { dataFileName, type ManifestDisk, SetTransaction, type TransactionPlan } from '../src/index.ts';

export const fixtures = new URL('../../stream-format/test/fixtures/established-2.47/', import.meta.url).pathname;
export const host = new LocalHost();
export const domain = { name: 'test vm', uuid: '4cddffbf-aab2-40d6-87f2-d9b20e6f0c07' };
export const writer = { name: '@virtnbd/backup-set test', version: '0.0.0' };

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

/** An empty folder with an awkward name, removed after the test. */
export async function tempFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "virtnbd set [é'] "));
  folders.push(folder);
  return folder;
}

const SIZE = 1024 * 1024;

export interface StreamSpec {
  disk?: string;
  checkpoint?: string;
  parent?: string | false;
  incremental?: boolean;
  date?: string;
  ours?: boolean;
  fill?: number;
  virtualSize?: number;
}

function metaOf(spec: StreamSpec): StreamMeta {
  return {
    virtualSize: spec.virtualSize ?? SIZE,
    dataSize: 65536,
    date: spec.date ?? '2026-11-23T10:00:00',
    diskName: spec.disk ?? 'vda',
    diskFormat: 'qcow2',
    checkpointName: spec.checkpoint ?? 'virtnbdbackup.0',
    compressed: false,
    parentCheckpoint: spec.parent ?? '',
    incremental: spec.incremental ?? false,
    streamVersion: 2,
    ...(spec.ours ? { writer } : {}),
    extra: {},
  };
}

async function writeStream(file: HostFile, spec: StreamSpec): Promise<StreamSummary> {
  const stream = new StreamWriter(file, metaOf(spec));
  await stream.start();
  await stream.data(0, new Uint8Array(65536).fill(spec.fill ?? 1));
  if (!spec.incremental) await stream.zero(65536, (spec.virtualSize ?? SIZE) - 65536);
  return await stream.finish();
}

/** A stream file as the established tool leaves it, with its checksum. */
export async function legacyFile(folder: string, name: string, spec: StreamSpec): Promise<void> {
  await using file = await host.files.open(join(folder, name), 'create');
  const { adler32 } = await writeStream(file, spec);
  await host.files.writeAtomic(join(folder, `${name}.chksum`), String(adler32));
}

export function checkpointXml(name: string, creationTime: number, parent: string | null): string {
  const link = parent === null ? '' : `<parent><name>${parent}</name></parent>`;
  return (
    `<domaincheckpoint><name>${name}</name>${link}<creationTime>${creationTime}</creationTime>` +
    `<domain><name>other</name><uuid>${domain.uuid}</uuid></domain></domaincheckpoint>`
  );
}

export interface PointSpec {
  number?: number;
  disks?: readonly string[];
  base?: boolean;
  diff?: string;
  copy?: boolean;
  creationTime?: number;
  /** called between the steps */
  at?: (step: string) => void | Promise<void>;
}

export function planOf(spec: PointSpec): TransactionPlan {
  const number = spec.number ?? 0;
  const name = `virtnbdbackup.${number}`;
  if (spec.copy) return { point: 'copy', level: 'copy', domain, writer, checkpoint: null, parent: null };
  if (spec.diff) return { point: spec.diff, level: 'diff', domain, writer, checkpoint: null, parent: name };
  const parent = number === 0 ? null : `virtnbdbackup.${number - 1}`;
  return { point: name, level: number === 0 ? 'full' : 'inc', domain, writer, checkpoint: name, parent };
}

/** A whole run as an engine makes it, with the given host. */
export async function makePoint(on: Host, folder: string, spec: PointSpec): Promise<void> {
  const transaction = await SetTransaction.begin(on, folder, planOf(spec));
  await fillPoint(on, transaction, spec);
}

export async function fillPoint(on: Host, transaction: SetTransaction, spec: PointSpec): Promise<void> {
  const step = spec.at ?? (() => undefined);
  await step('begun');
  const { point, level, checkpoint, parent } = transaction.intent;
  const disks: ManifestDisk[] = [];
  if (checkpoint !== null) {
    const creationTime = spec.creationTime ?? 1_700_000_000 + (spec.number ?? 0);
    await transaction.setCheckpoint({ creationTime, xml: checkpointXml(checkpoint, creationTime, parent) });
    await step('checkpoint');
  }
  for (const disk of spec.disks ?? ['vda']) {
    disks.push(await writeDisk(on, transaction, disk, spec));
    await step(`data ${disk}`);
  }
  await transaction.writeSmall(`vmconfig.${point}.xml`, 'domain-xml', '<domain/>');
  await step('small');
  await transaction.seal();
  await step('sealed');
  await transaction.commit({ created: new Date(), disks });
  await step('committed');
  await transaction.finish();
  await step('finished');
  await transaction.end();
  await step(`ended ${level}`);
}

async function writeDisk(_on: Host, transaction: SetTransaction, disk: string, spec: PointSpec): Promise<ManifestDisk> {
  const { level, checkpoint, parent, point } = transaction.intent;
  const base = level === 'full' || level === 'copy' || spec.base === true;
  const header = { checkpointName: checkpoint ?? 'virtnbdbackup.0', parentCheckpoint: base ? '' : (parent ?? '') };
  const name = dataFileName({ disk, level, checkpoint: point, unixTime: point });
  await using file = await transaction.createData(name);
  const summary = await writeStream(file, {
    disk,
    checkpoint: header.checkpointName,
    parent: header.parentCheckpoint,
    incremental: !base,
    ours: true,
    fill: (spec.number ?? 0) + 1,
  });
  await file.close();
  await transaction.dataWritten(name, { kind: 'stream', ...summary });
  return { disk, file: name, kind: 'stream', base, virtualSize: SIZE, format: 'qcow2', imageName: 'a.qcow2', header };
}

/** How the n-th call ends: not done; done, and told to have failed; or nothing happens any more from then on. */
export type Failure = 'before' | 'after' | 'killed';

export class InjectedError extends Error {}

/** A host that counts its calls and lets the n-th (from 0) fail. */
export function failingHost(at: number, failure: Failure): { host: Host; calls: () => number } {
  let calls = 0;
  const call = async (object: object, key: string | symbol, args: readonly unknown[]): Promise<unknown> => {
    const number = calls++;
    const method: unknown = Reflect.get(object, key);
    const doIt = async (): Promise<unknown> =>
      typeof method === 'function' ? await method.apply(object, args) : method;
    const closes = key === 'close' || key === Symbol.asyncDispose;
    if (number === at || (failure === 'killed' && number > at)) {
      const done = (failure === 'after' && number === at) || closes ? await doIt() : null;
      if (key === 'open') await (done as HostFile | null)?.close();
      throw new InjectedError(`call ${number} (${String(key)}) fails`);
    }
    const result = await doIt();
    return key === 'open' && typeof result === 'object' && result !== null ? wrap(result) : result;
  };
  const wrap = (object: object): object =>
    new Proxy(object, {
      get: (target, key) => {
        const value: unknown = Reflect.get(target, key);
        if (typeof value !== 'function') return value;
        return (...args: unknown[]) => call(target, key, args);
      },
    });
  // The proxy has the methods of what it wraps.
  const files = wrap(host.files) as HostFiles;
  const wrapped: Host = {
    files,
    name: host.name,
    run: (...args) => host.run(...args),
    start: (...args) => host.start(...args),
    waitForSocket: (...args) => host.waitForSocket(...args),
    route: (path) => host.route(path),
    identity: () => host.identity(),
    isAlive: (other) => host.isAlive(other),
  };
  return { host: wrapped, calls: () => calls };
}
