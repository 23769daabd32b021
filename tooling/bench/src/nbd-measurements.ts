import { join } from 'node:path';
import { startNbdkit, startQemuNbd, tempFolder } from '@virtnbd/test-kit';
import type { Scale } from './nbd.ts';
import { makeCertificates, makeDisk } from './nbd-disks.ts';
import type { NbdJob } from './nbd-job.ts';

/** Something that both sides do. */
export interface Measurement {
  what: string;
  job: NbdJob;
  program: string;
  args: readonly string[];
  unit: { kind: 'rate'; amount: number; name: string } | { kind: 'time' };
  /** Ends the server that this measurement is the last to use. */
  end?: () => Promise<void>;
}

const MIB = 1024 * 1024;
const rate = (bytes: number) => ({ kind: 'rate', amount: bytes / MIB, name: 'MiB/s' }) as const;

/** Ends everything after the last measurement. */
function endingWith(list: Measurement[], end: () => Promise<void>): Measurement[] {
  const last = list.at(-1);
  if (last !== undefined) last.end = end;
  return list;
}

async function diskServer(scale: Scale, extra: readonly string[] = []) {
  const folder = await tempFolder();
  const disk = join(folder.path, 'disk.raw');
  await makeDisk(disk, scale.diskBytes);
  const server = await startQemuNbd(disk, { format: 'raw', readOnly: true, extra });
  const end = async () => {
    await server.stop();
    await folder.remove();
  };
  return { uri: `nbd+unix:///?socket=${server.socket}`, socket: server.socket, folder: folder.path, end };
}

/** P1: the whole export, thrown away. */
export async function reads(scale: Scale): Promise<Measurement[]> {
  const { uri, end } = await diskServer(scale);
  const list = [1, 4].map((connections) => ({
    what: `read it all, ${connections === 1 ? 'one connection' : `${connections} connections`}`,
    job: { kind: 'read', uri, connections } as const,
    program: 'nbdcopy',
    args: [`--connections=${connections}`, uri, 'null:'],
    unit: rate(scale.diskBytes),
  }));
  return endingWith(list, end);
}

/** The whole export into a local file. */
export async function copies(scale: Scale): Promise<Measurement[]> {
  const { uri, folder, end } = await diskServer(scale);
  const list = [1, 4].map((connections) => ({
    what: `copy it to a file, ${connections === 1 ? 'one connection' : `${connections} connections`}`,
    job: { kind: 'copy', uri, connections, target: join(folder, 'ours') } as const,
    program: 'nbdcopy',
    args: [`--connections=${connections}`, uri, join(folder, 'theirs')],
    unit: rate(scale.diskBytes),
  }));
  return endingWith(list, end);
}

/** Reads of 4 KiB. */
export async function latency(scale: Scale): Promise<Measurement[]> {
  const { uri, end } = await diskServer(scale);
  const count = scale.smallReads;
  const list = [1, 32].map((depth) => ({
    what: `reads of 4 KiB, ${depth} in flight`,
    job: { kind: 'small-reads', uri, count, depth } as const,
    program: 'qemu-img',
    args: ['bench', '-U', '-c', String(count), '-d', String(depth), '-s', '4096', '-f', 'raw', uri],
    unit: { kind: 'rate', amount: count, name: 'a second' } as const,
  }));
  return endingWith(list, end);
}

/** P9: block status of a disk in a million pieces. */
export async function extents(scale: Scale): Promise<Measurement[]> {
  const size = `size=${scale.fragmentedBytes}`;
  const server = await startNbdkit(['sparse-random', size, 'percent=50', 'runlength=8192', 'seed=1']);
  const uri = `nbd+unix:///?socket=${server.socket}`;
  const measurement: Measurement = {
    what: `extents of ${scale.fragmentedBytes / MIB} MiB in pieces of 8 KiB`,
    job: { kind: 'extents', uri },
    program: 'nbdinfo',
    args: ['--map=base:allocation', uri],
    unit: { kind: 'time' },
  };
  return endingWith([measurement], () => server.stop());
}

/** The whole export under TLS. */
export async function tls(scale: Scale): Promise<Measurement[]> {
  const certificates = await makeCertificates();
  const object = `tls-creds-x509,id=tls0,endpoint=server,dir=${certificates.path},verify-peer=off`;
  const { socket, end } = await diskServer(scale, ['--object', object, '--tls-creds', 'tls0']);
  const uri = `nbds+unix:///?socket=${socket}&tls-certificates=${certificates.path}&tls-hostname=localhost`;
  const theirs = uri.replace('&tls-hostname=localhost', '');
  const list = [1, 4].map((connections) => ({
    what: `read it all under TLS, ${connections === 1 ? 'one connection' : `${connections} connections`}`,
    job: { kind: 'read', uri, connections } as const,
    program: 'nbdcopy',
    args: [`--connections=${connections}`, theirs, 'null:'],
    unit: rate(scale.diskBytes),
  }));
  return endingWith(list, async () => {
    await end();
    await certificates.remove();
  });
}
