import { createWriteStream } from 'node:fs';
import { copyFile, mkdir, open, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Random, run, type TestVm } from '@virtnbd/test-kit';

const MIB = 1 << 20;
const BLOCK = 64 << 10;

/** The demo's disk: a file system, and behind it room that the demo writes, zeroes and discards by hand. */
export const DISK_SIZE = 512 * MIB;
export const FILE_SYSTEM_SIZE = 384 * MIB;

/** Makes a raw disk image with an ext4 file system that holds a text, a log and a file that does not compress. */
export async function makeDisk(folder: string, image: string): Promise<void> {
  const content = join(folder, 'content');
  await mkdir(content);
  await writeFile(join(content, 'welcome.txt'), 'This file was there when the full backup was made.\n');
  await writeLog(join(content, 'server.log'), 32 * MIB);
  await writeFile(join(content, 'photos.bin'), new Random(1).bytes(48 * MIB));
  await run('qemu-img', ['create', '-q', '-f', 'raw', image, String(DISK_SIZE)]);
  await run('mkfs.ext4', ['-q', '-F', '-d', content, image, `${FILE_SYSTEM_SIZE >> 10}k`]);
  await rm(content, { recursive: true });
}

/**
 * Adds a file to the file system on the VM's disk: into a copy of the disk, and from there, block by block where they
 * differ, through the VM's device, as its guest would have written it.
 */
export async function addFile(vm: TestVm, disk: string, folder: string, name: string, text: string): Promise<number> {
  const changed = join(folder, 'changed.raw');
  const source = join(folder, 'new-file');
  await writeFile(source, text);
  await copyFile(disk, changed);
  await run('debugfs', ['-w', '-R', `write ${source} ${name}`, changed]);
  const written = await writeDifferences(vm, disk, changed);
  await rm(changed);
  return written;
}

/** What a file of an image's file system says. */
export async function readFileOf(image: string, name: string): Promise<string> {
  return (await run('debugfs', ['-R', `cat ${name}`, image])).stdout;
}

async function writeDifferences(vm: TestVm, before: string, after: string): Promise<number> {
  await using old = await open(before);
  await using fresh = await open(after);
  const a = Buffer.alloc(BLOCK);
  let blocks = 0;
  for (let offset = 0; offset < FILE_SYSTEM_SIZE; offset += BLOCK) {
    const b = Buffer.alloc(BLOCK);
    await old.read(a, 0, BLOCK, offset);
    await fresh.read(b, 0, BLOCK, offset);
    if (a.equals(b)) continue;
    await vm.writeBuffer('vda', offset, b);
    blocks += 1;
  }
  return blocks;
}

function writeLog(path: string, size: number): Promise<void> {
  const out = createWriteStream(path);
  for (let line = 0, written = 0; written < size; line++) {
    const text = `2026-11-23 20:00:${String(line % 60).padStart(2, '0')} INFO request ${line} answered in ${line % 97} ms\n`;
    written += text.length;
    out.write(text);
  }
  return new Promise((resolve, reject) => {
    out.on('error', reject).end(resolve);
  });
}
