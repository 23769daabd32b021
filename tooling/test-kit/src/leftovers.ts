import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestLibvirt } from './libvirt/test-libvirt.ts';
import type { TestVm } from './libvirt/test-vm.ts';
import { ownServers } from './nbd-server.ts';
import { commandLine, isRunning } from './programs.ts';

export interface LeftoverOptions {
  /** Folders that were used besides the instance's own: sockets, scratch and partial files in them are leftovers. */
  readonly folders?: readonly string[];
  /** Helper programs below this process are leftovers. Default: this process. */
  readonly parent?: number;
}

const HELPERS = /^(qemu-nbd|qemu-img|nbdkit|nbdcopy|nbdfuse|nbdinfo|fusermount3?|ssh)$/;
const TEMPORARY_FILE = /scratch|\.partial$|\.tmp$|^\.?intent/i;

/**
 * What a run left behind, one line each; empty when all is clean. Looks for jobs, NBD exports, job bitmaps and frozen file
 * systems of the instance's VMs, for sockets, scratch and partial files, and for processes.
 */
export async function findLeftovers(libvirt: TestLibvirt | null, options: LeftoverOptions = {}): Promise<string[]> {
  const folders = [...(options.folders ?? [])];
  const found: string[] = [];
  if (libvirt !== null) {
    folders.push(libvirt.workFolder, join(libvirt.folder, 'images'), join(libvirt.folder, 't'));
    for (const vm of libvirt.vms) found.push(...(await leftoversOfVm(vm)));
  }
  for (const folder of folders) found.push(...(await leftoverFiles(folder)));
  const qemu = libvirt === null ? [] : await libvirt.runningQemu();
  for (const pid of qemu) found.push(...openScratchFiles(pid));
  found.push(...leftoverProcesses(folders, options.parent ?? process.pid, new Set([...qemu, ...ownServers])));
  return found;
}

async function leftoversOfVm(vm: TestVm): Promise<string[]> {
  const state = await vm.state().catch(() => 'shutoff' as const); // undefined by the test
  if (state === 'shutoff') return [];
  const found: string[] = [];
  if (await vm.jobActive()) found.push(`job: ${vm.name} has one`);
  const exports = (await vm.monitor('query-block-exports')) as { id: string }[];
  for (const { id } of exports) found.push(`NBD export: ${id} of ${vm.name}`);
  for (const { target } of vm.disks) {
    for (const { name } of await vm.bitmaps(target)) {
      if (name.startsWith('backup-')) found.push(`bitmap of a job: ${name} on ${target} of ${vm.name}`);
    }
  }
  if (vm.hasGuest && state === 'running' && (await vm.fsFrozen().catch(() => false))) {
    found.push(`frozen file systems: ${vm.name}`);
  }
  return found;
}

async function leftoverFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  const found: string[] = [];
  for (const entry of entries) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isSocket()) found.push(`socket: ${path}`);
    else if (TEMPORARY_FILE.test(entry.name)) found.push(`file: ${path}`);
  }
  return found;
}

/** Scratch files that a qemu still holds open, even if their names have gone. */
function openScratchFiles(pid: number): string[] {
  const found: string[] = [];
  for (const fd of readdirOr(`/proc/${pid}/fd`)) {
    const target = readlinkOr(`/proc/${pid}/fd/${fd}`);
    if (target.startsWith('/') && /scratch|^backup-/i.test(target.split('/').pop() ?? '')) {
      found.push(`open in qemu ${pid}: ${target}`);
    }
  }
  return found;
}

function leftoverProcesses(folders: readonly string[], parent: number, known: ReadonlySet<number>): string[] {
  const found: string[] = [];
  for (const name of readdirOr('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid || pid === parent || known.has(pid) || !isRunning(pid)) continue;
    const command = commandLine(pid);
    const program = (command[0] ?? '').split('/').pop() ?? '';
    if (program === '' || program.startsWith('qemu-system')) continue;
    const usesFolder = folders.some((folder) => command.some((argument) => argument.includes(folder)));
    if (usesFolder || (HELPERS.test(program) && isBelow(pid, parent)))
      found.push(`process ${pid}: ${command.join(' ')}`);
  }
  return found;
}

function isBelow(pid: number, ancestor: number): boolean {
  for (let at = pid; at > 1; ) {
    const stat = readFileOr(`/proc/${at}/stat`);
    // pid (name) state ppid …; the name may hold anything, so from its last bracket on
    at = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1] ?? 0);
    if (at === ancestor) return true;
  }
  return false;
}

function readdirOr(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function readlinkOr(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

function readFileOr(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
