import { execFile } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { promisify } from 'node:util';
import { compareFiles } from '@virtnbd/test-kit';

const execute = promisify(execFile);

/** The first difference between an image and a raw reference, or null when every byte is the same. */
export async function difference(image: string, reference: string): Promise<string | null> {
  const raw = `${image}.compared`;
  try {
    await execute('qemu-img', ['convert', '-O', 'raw', image, raw]);
    const result = await compareFiles(raw, reference);
    return result.identical ? null : result.reason;
  } finally {
    await rm(raw, { force: true });
  }
}
