import { createHash } from 'node:crypto';
import { lstat, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Host, HostIdentity } from './host.ts';
import { isProcessAlive, processIdentity } from './process-identity.ts';

/**
 * Makes a private folder (0700) for what this process needs for a while, sockets for instance, and removes those of the same
 * prefix whose process was killed before it could. On another host none is removed: whose folders those are cannot be
 * told safely from here.
 *
 * Its name is `PREFIX` and `PID.START.PLACE.RANDOM`: START is when the process started (/proc/PID/stat, field 22), PLACE
 * stands for the boot and the pid namespace in which the two mean something.
 *
 * @param prefix ends with a dot
 */
export async function makeRunFolder(host: Host, parent: string, prefix: string): Promise<string> {
  const self = await processIdentity();
  if (host.name === '') await sweep(parent, prefix, self);
  return await host.files.makeTempFolder(parent, `${prefix}${self.pid}.${self.startTime}.${placeOf(self)}.`);
}

const OWNER = /^(\d{1,10})\.(\d{1,20})\.([0-9a-f]{8})\.[A-Za-z0-9]{6}$/;

async function sweep(parent: string, prefix: string, self: HostIdentity): Promise<void> {
  for (const name of await readdir(parent).catch(() => [])) {
    const [, pid, startTime, place] = (name.startsWith(prefix) && OWNER.exec(name.slice(prefix.length))) || [];
    if (place !== placeOf(self)) continue;
    const path = join(parent, name);
    // A link is no folder here, and where the parent is sticky nobody else can put one in the place of a folder of ours.
    const stats = await lstat(path).catch(() => null);
    if (stats?.isDirectory() !== true || stats.uid !== process.getuid?.()) continue;
    if ((await isProcessAlive({ ...self, pid: Number(pid), startTime: Number(startTime) })) !== false) continue;
    await rm(path, { recursive: true, force: true }).catch(() => undefined);
  }
}

function placeOf({ hostname, bootId, machine = '', pidNamespace = '' }: HostIdentity): string {
  return createHash('sha256').update([hostname, bootId, machine, pidNamespace].join('\n')).digest('hex').slice(0, 8);
}
