import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { run } from './programs.ts';
import { waitFor } from './wait-for.ts';

export async function sha256File(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

/** Waits until no program has the image open for writing: the established tool ends before its qemu-nbd has closed it. */
export async function untilClosed(image: string): Promise<void> {
  const isClosed = (): Promise<boolean> =>
    run('qemu-img', ['info', image]).then(
      () => true,
      () => false,
    );
  await waitFor(isClosed, { what: `The end of what has ${image} open` });
}

export type Comparison =
  | { readonly identical: true; readonly size: number }
  | { readonly identical: false; readonly offset: number; readonly reason: string };

/** Compares two files byte by byte. `offset` is the first byte that differs; where one file ends early, its length. */
export async function compareFiles(a: string, b: string): Promise<Comparison> {
  await using first = await open(a, 'r');
  await using second = await open(b, 'r');
  const left = Buffer.allocUnsafe(1 << 20);
  const right = Buffer.allocUnsafe(1 << 20);
  for (let offset = 0; ; ) {
    const [n, m] = await Promise.all([fill(first, left, offset), fill(second, right, offset)]);
    const common = Math.min(n, m);
    if (left.compare(right, 0, common, 0, common) !== 0) {
      let at = 0;
      while (left[at] === right[at]) at++;
      const reason = `byte ${offset + at}: ${hex(left[at])} in ${a}, ${hex(right[at])} in ${b}`;
      return { identical: false, offset: offset + at, reason };
    }
    if (n !== m) {
      const reason = `${n < m ? a : b} ends after ${offset + common} bytes, the other goes on`;
      return { identical: false, offset: offset + common, reason };
    }
    offset += common;
    if (n < left.length) return { identical: true, size: offset };
  }
}

/** True when both files hold the same bytes; see `compareFiles` for where they differ. */
export async function identical(a: string, b: string): Promise<boolean> {
  return (await compareFiles(a, b)).identical;
}

async function fill(file: FileHandle, buffer: Buffer, offset: number): Promise<number> {
  let filled = 0;
  while (filled < buffer.length) {
    const { bytesRead } = await file.read(buffer, filled, buffer.length - filled, offset + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return filled;
}

function hex(value: number | undefined): string {
  return `0x${(value ?? 0).toString(16).padStart(2, '0')}`;
}

/** `qemu-img create`. */
export async function makeImage(
  path: string,
  spec: { format?: 'qcow2' | 'raw'; size: number | string; options?: readonly string[] },
): Promise<void> {
  await run('qemu-img', [
    'create',
    '-q',
    '-f',
    spec.format ?? 'qcow2',
    ...(spec.options ?? []),
    path,
    String(spec.size),
  ]);
}
