import { createHash } from 'node:crypto';
import { readFile, readlink } from 'node:fs/promises';
import { hostname } from 'node:os';
import { fileError } from './errors.ts';
import type { HostIdentity } from './host.ts';

const BOOT_ID = '/proc/sys/kernel/random/boot_id';

/** See Host.identity. */
export async function processIdentity(): Promise<HostIdentity> {
  const [bootId, startTime, machine, pidNamespace] = await Promise.all([
    readFile(BOOT_ID, 'utf8').catch((error: unknown) => {
      throw fileError(error, 'cannot read', BOOT_ID);
    }),
    startTimeOf('self'),
    machineDigest(),
    readlink('/proc/self/ns/pid').catch(() => undefined),
  ]);
  return {
    hostname: hostname(),
    bootId: bootId.trim(),
    pid: process.pid,
    startTime: startTime ?? 0,
    ...(machine === undefined ? {} : { machine }),
    ...(pidNamespace === undefined ? {} : { pidNamespace }),
  };
}

/** See Host.isAlive. */
export async function isProcessAlive(other: HostIdentity): Promise<boolean | 'unknown'> {
  const self = await processIdentity();
  if (other.hostname !== self.hostname || differs(other.machine, self.machine)) return 'unknown';
  if (other.bootId !== self.bootId) return false;
  if (differs(other.pidNamespace, self.pidNamespace)) return 'unknown';
  if (!Number.isSafeInteger(other.pid) || other.pid <= 0) return 'unknown';
  const startTime = await startTimeOf(other.pid);
  if (startTime !== null) return startTime === other.startTime;
  // Nothing in /proc: gone, or hidden from us (mount option hidepid).
  try {
    process.kill(other.pid, 0);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ESRCH') return false;
  }
  return 'unknown';
}

function differs(a: string | undefined, b: string | undefined): boolean {
  return a !== undefined && b !== undefined && a !== b;
}

/**
 * Start time in clock ticks since the boot, or null when there is no such process. A zombie (state Z) or dead process
 * (X) counts as none: it holds nothing any more.
 */
async function startTimeOf(pid: number | 'self'): Promise<number | null> {
  const line = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null);
  if (line === null) return null;
  // "pid (name) state …": the name may hold spaces and brackets, so count from its last bracket. State is field 3.
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
  if (fields[0] === 'Z' || fields[0] === 'X') return -1;
  return Number(fields[22 - 3]);
}

/** machine-id(5) is not to be shown as it is; a digest tells machines apart as well. */
async function machineDigest(): Promise<string | undefined> {
  const id = await readFile('/etc/machine-id', 'utf8').catch(() => '');
  if (!/^[0-9a-f]{32}\s*$/.test(id)) return undefined;
  return createHash('sha256').update(`virtnbd ${id.trim()}`).digest('hex').slice(0, 32);
}
