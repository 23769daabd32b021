import { dirname } from 'node:path';
import type { Host } from '@virtnbd/host';
import { type GuestKind, type LibvirtConnection, LibvirtError } from '@virtnbd/libvirt-ops';
import type { BackupRequest } from '../context.ts';
import { BackupError } from '../errors.ts';
import type { BackupListener } from '../events.ts';
import { DEFAULT_SCRATCH_FOLDER } from '../job/job-paths.ts';
import { SCRATCH_RESERVE } from '../job/scratch-watch.ts';
import { type DiskEstimate, totalBytes } from './estimate.ts';
import type { RunPlan } from './plan.ts';
import { mayNot, type UnixUser } from './qemu-user.ts';

/** libvirt 7.6 and QEMU 4.2 as libvirt counts versions: the first that keep incremental backups without special settings. */
const LEAST_LIBVIRT = 7_006_000;
const LEAST_QEMU = 4_002_000;
/** Part of what is to be read that the guest may overwrite meanwhile. */
const SCRATCH_SHARE = 0.05;
/** What compression leaves in the worst case that is worth a guess: text shrinks to less, pictures do not shrink. */
const COMPRESSED_SHARE = 0.5;

interface PreflightInput {
  readonly libvirt: Pick<LibvirtConnection, 'version' | 'domainCapabilities' | 'jobInfo'>;
  readonly host: Host;
  /** null where its files are not reached. */
  readonly hypervisor: Host | null;
  readonly request: BackupRequest;
  readonly plan: Pick<RunPlan, 'domain' | 'state' | 'handling'>;
  readonly guest: GuestKind;
  readonly estimates: readonly DiskEstimate[];
  /** The user that the VM's qemu runs as; null where that is not known. */
  readonly qemuUser: UnixUser | null;
  readonly piped: boolean;
  /** The blocks come over the network: there is no socket. */
  readonly network: boolean;
  readonly tell: BackupListener;
}

/**
 * What would stop the run or harm the guest, before anything has happened. Each refusal names the command that mends it.
 *
 * @throws BackupError OLD_VERSION, NO_BACKUPS, JOB_ACTIVE, NO_SPACE, BAD_PATH
 */
export async function preflight(input: PreflightInput): Promise<void> {
  await checkVersions(input);
  const { state, handling } = input.plan;
  if (state !== 'off') {
    await checkCapability(input);
    // One that is yet to be started has none.
    if (handling !== 'start') await checkJobs(input);
    await checkQemuUser(input);
  }
  await checkSpace(input);
}

async function checkVersions({ libvirt }: PreflightInput): Promise<void> {
  const { libvirt: daemon, hypervisor } = await libvirt.version();
  if (daemon < LEAST_LIBVIRT) throw tooOld('libvirt', daemon, LEAST_LIBVIRT, 'libvirt-daemon');
  if (hypervisor < LEAST_QEMU) throw tooOld('QEMU', hypervisor, LEAST_QEMU, 'qemu-system-x86');
}

function tooOld(what: string, found: number, least: number, from: string): BackupError {
  return new BackupError(
    'OLD_VERSION',
    `${what} ${versionText(found)} is too old: backups need ${versionText(least)} or newer; on Debian: apt-get install ` +
      `${from} (for Debian 11 from bullseye-backports)`,
  );
}

function versionText(version: number): string {
  return `${Math.floor(version / 1_000_000)}.${Math.floor(version / 1_000) % 1_000}.${version % 1_000}`;
}

/**
 * Versions tell less than the hypervisor does: a QEMU may be built without what a job needs, and libvirt's own demands
 * have grown since 7.6.
 */
async function checkCapability({ libvirt, guest, plan: { domain } }: PreflightInput): Promise<void> {
  const { backup } = await libvirt.domainCapabilities(guest).catch((error: unknown) => {
    if (error instanceof LibvirtError && error.code !== 'CLOSED') return { backup: null }; // the job itself will tell
    throw error;
  });
  if (backup !== false) return;
  const kind = Object.entries({
    '--emulatorbin': guest.emulator,
    '--arch': guest.arch,
    '--machine': guest.machine,
    '--virttype': guest.type,
  });
  const options = kind.flatMap(([option, value]) => (value === null ? [] : [`${option} '${value}'`]));
  throw new BackupError(
    'NO_BACKUPS',
    `the VM ${domain.name} cannot be backed up while it has a process: libvirt says of its QEMU (${guest.emulator ?? 'the default one'}) ` +
      `that it makes no backups; see: virsh domcapabilities ${options.join(' ')} | grep backup; update QEMU (6.1 or newer ` +
      'has all that libvirt asks for) and start the VM anew, or shut it down: one that is off is saved without a job',
  );
}

/** A backup job was looked for before; this is about all others: libvirt would wait for their end for 30 seconds. */
async function checkJobs({ libvirt, plan: { domain } }: PreflightInput): Promise<void> {
  const { type, operation } = await libvirt.jobInfo(domain.uuid);
  if (type === 'none' || type === 'completed') return;
  throw new BackupError(
    'JOB_ACTIVE',
    `the VM ${domain.name} has a job already (${operation}); wait until it ends, or look at it with: virsh domjobinfo ` +
      `${domain.name}; end it with: virsh domjobabort ${domain.name}`,
  );
}

async function checkQemuUser({ hypervisor, request, qemuUser, network }: PreflightInput): Promise<void> {
  if (qemuUser === null || hypervisor === null) return;
  const socketFolder = network ? null : dirname(request.socketPath ?? '/var/tmp/socket');
  const scratch = request.scratchFolder ?? DEFAULT_SCRATCH_FOLDER;
  for (const [folder, option, use] of [
    [socketFolder, '--socketfile', 'makes the socket'],
    [scratch, '--scratchdir', 'keeps its scratch files'],
  ] as const) {
    const problem = folder === null ? null : await mayNot(hypervisor, qemuUser, folder);
    if (problem !== null)
      throw new BackupError(
        'BAD_PATH',
        `the VM's qemu (user ${qemuUser.uid}, group ${qemuUser.gid}) ${use} in ${folder}, and ${problem}; name another ` +
          `place by ${option}, or: setfacl -m u:${qemuUser.uid}:rwx '${folder}'`,
      );
  }
}

async function checkSpace(input: PreflightInput): Promise<void> {
  const { host, hypervisor, request, plan, estimates, piped } = input;
  const bytes = totalBytes(estimates);
  if (plan.state !== 'off' && hypervisor !== null) {
    const scratch = request.scratchFolder ?? DEFAULT_SCRATCH_FOLDER;
    const needed = SCRATCH_RESERVE * 2 + Math.ceil(bytes * SCRATCH_SHARE);
    const danger = "the guest's writes fail when it is full";
    await requireSpace(input, hypervisor, scratch, needed, `the scratch folder (${danger})`, '--scratchdir DIR');
  }
  if (piped) return;
  const share = request.compress === undefined ? 1 : COMPRESSED_SHARE;
  const folder = await existing(host, request.folder);
  await requireSpace(input, host, folder, Math.ceil(bytes * share), 'the backup folder', '-o DIR');
}

async function requireSpace(
  { request, tell }: PreflightInput,
  host: Host,
  folder: string,
  needed: number,
  what: string,
  option: string,
): Promise<void> {
  const free = await host.files.freeSpace(folder);
  if (free >= needed) return;
  const message =
    `${what} ${folder} has ${mib(free)} free, and the backup may need ${mib(needed)}; see: df -h '${folder}'; free some ` +
    `space, or name another place: ${option}`;
  if (request.force !== true) throw new BackupError('NO_SPACE', `${message}; or go on all the same: --force`);
  tell({ type: 'warning', message });
}

function mib(bytes: number): string {
  return `${Math.ceil(bytes / (1 << 20))} MiB`;
}

/** The folder, or the nearest above it that is there: its file system is the one that will be written to. */
async function existing(host: Host, folder: string): Promise<string> {
  for (let path = folder; ; path = dirname(path)) if ((await host.files.stat(path)) !== null) return path;
}
