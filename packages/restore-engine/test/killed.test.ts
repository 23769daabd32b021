import { execFile } from 'node:child_process';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { MIB, makePoint, wholeDisk } from '@virtnbd/sample-sets';
import { requires, waitFor } from '@virtnbd/test-kit';
import { expect, test } from 'vitest';
import { bytesOf, Place } from './support.ts';

const execute = promisify(execFile);
const driver = fileURLToPath(new URL('restore-and-die.ts', import.meta.url));
const SIZE = 4 * MIB;

/** The servers of an image in this folder. */
async function serversIn(folder: string): Promise<string[]> {
  const read = (pid: string, what: string): Promise<string> => readFile(`/proc/${pid}/${what}`, 'utf8').catch(() => '');
  const found: string[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name)))
    if (/^qemu-nbd/.test(await read(pid, 'comm')) && (await read(pid, 'cmdline')).includes(folder)) found.push(pid);
  return found;
}

test.skipIf(requires('qemu-img', 'qemu-nbd').skip).each([
  ['qcow2', 'write', 'phase'],
  ['qcow2', 'write', 'progress'],
  ['qcow2', 'write', 'phase-done'],
  ['qcow2', 'compare', 'phase'],
  ['qcow2', 'compare', 'phase-done'],
  ['vmdk', 'write', 'progress'],
])(
  'a restore to %s killed in its phase «%s», at %s, leaves no server, and nothing after the next one',
  async (...how) => {
    const [format, phase, at] = how;
    await using place = await Place.make();
    const frames = wholeDisk(SIZE, 2 * MIB, 0x11);
    await makePoint(place.backup, { number: 0, disks: [{ disk: 'vda', virtualSize: SIZE, frames }] });
    const temp = place.path('temp');
    await mkdir(temp);
    const killed = execute(process.execPath, [driver, place.backup, place.target, temp, format, phase, at]);
    await expect(killed).rejects.toMatchObject({ signal: 'SIGKILL' });
    expect((await place.restored()).filter((name) => name.endsWith(format))).toEqual([]);
    await waitFor(async () => (await serversIn(place.target)).length === 0, { what: 'The end of the servers' });
    await place.restore({}, { tempFolder: temp });
    const expected = Buffer.alloc(SIZE).fill(0x11, 0, 2 * MIB);
    expect((await bytesOf(join(place.target, 'vda.qcow2'), 'qcow2')).equals(expected)).toBe(true);
    expect(await place.restored()).toEqual(['vda.qcow2', 'vmconfig.virtnbdbackup.0.xml']);
    expect(await readdir(temp)).toEqual([]);
  },
);
