import { execFile } from 'node:child_process';
import { type FileHandle, open } from 'node:fs/promises';
import { promisify } from 'node:util';
import { HEADER_AREA, type ImagePiece, Qcow2Layout } from '../src/index.ts';

const execute = promisify(execFile);

export const KIB = 1024;
export const MIB = 1024 * KIB;
export const GIB = 1024 * MIB;

/** A range of a disk, in bytes. */
export interface Range {
  readonly start: number;
  readonly length: number;
}

/** Runs a program of qemu's. */
export async function run(program: string, ...args: string[]): Promise<string> {
  return (await execute(program, args, { maxBuffer: 256 * MIB })).stdout;
}

/** What `qemu-img create` makes, up to where the header must end. */
export async function createdArea(path: string, size: number, options: readonly string[] = []): Promise<Buffer> {
  const some = options.length > 0 ? ['-o', options.join(',')] : [];
  await run('qemu-img', 'create', '-q', '-f', 'qcow2', ...some, path, String(size));
  await using file = await open(path, 'r');
  const area = Buffer.alloc(HEADER_AREA);
  const { bytesRead } = await file.read(area, 0, area.length, 0);
  return area.subarray(0, bytesRead);
}

/**
 * Makes an image in which the ranges are placed.
 *
 * @param content gives the bytes of the disk; ranges are placed but hold zeroes when absent
 */
export async function makeImage(
  path: string,
  size: number,
  options: readonly string[],
  ranges: Iterable<Range>,
  content?: (start: number, length: number) => Uint8Array,
): Promise<Qcow2Layout> {
  const layout = new Qcow2Layout(await createdArea(path, size, options));
  await using file = await open(path, 'r+');
  await file.truncate(0);
  let end = layout.header.clusterBytes;
  for (const piece of allPieces(layout, ranges)) {
    if (piece.offset !== end) throw new Error(`a piece at ${piece.offset}, behind one that ends at ${end}`);
    end = piece.offset + (await writePiece(file, piece, layout, content));
  }
  await file.truncate(layout.fileBytes);
  await file.write(layout.head, 0, layout.head.length, 0);
  return layout;
}

function* allPieces(layout: Qcow2Layout, ranges: Iterable<Range>): Generator<ImagePiece> {
  for (const { start, length } of ranges) yield* layout.place(start, length);
  yield* layout.finish();
}

/** @returns the piece's length */
async function writePiece(
  file: FileHandle,
  piece: ImagePiece,
  { header: { size } }: Qcow2Layout,
  content: ((start: number, length: number) => Uint8Array) | undefined,
): Promise<number> {
  if (piece.kind === 'table') {
    await file.write(piece.bytes, 0, piece.bytes.length, piece.offset);
    return piece.bytes.length;
  }
  const bytes = content?.(piece.start, Math.min(piece.length, size - piece.start));
  if (bytes !== undefined) await file.write(bytes, 0, bytes.length, piece.offset);
  return piece.length;
}

/** What `qemu-img check` finds wrong; the counts of errors and leaks are there only when they are not zero. */
export async function check(path: string): Promise<Record<string, unknown>> {
  const found: unknown = JSON.parse(await run('qemu-img', 'check', '--output=json', '-f', 'qcow2', path));
  if (typeof found !== 'object' || found === null) throw new TypeError('qemu-img check says no object');
  return Object.fromEntries(
    Object.entries(found).filter(([key]) => ['check-errors', 'corruptions', 'leaks', 'image-end-offset'].includes(key)),
  );
}

/** The ranges that qemu takes for data, neighbours as one. */
export async function dataRanges(path: string): Promise<Range[]> {
  const map = JSON.parse(await run('qemu-img', 'map', '--output=json', '-f', 'qcow2', path)) as (Range & {
    data: boolean;
  })[];
  const found: { start: number; length: number }[] = [];
  for (const { start, length, data } of map) {
    const last = found.at(-1);
    if (!data) continue;
    if (last !== undefined && last.start + last.length === start) last.length += length;
    else found.push({ start, length });
  }
  return found;
}
