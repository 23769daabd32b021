import { Readable } from 'node:stream';
import { type Host, HostError, type HostFile } from '@virtnbd/host';
import { type Entry, fromRandomAccessReaderPromise, RandomAccessReader, type ZipFile } from 'yauzl';
import { BackupSetError } from '../errors.ts';

/** More entries than any backup has. */
const MAX_ENTRIES = 100_000;
/** yauzl reads the directory in small pieces; a stream of a range is only asked for by what is not used here. */
const PIECE = 64 * 1024;
const STORED = 0;

/** One file in a zip: a range of the zip, since nothing in it is compressed. */
export interface ZipMember {
  /** The zip, open. */
  readonly zip: HostFile;
  readonly name: string;
  /** Where its bytes begin in the zip. */
  readonly start: number;
  readonly size: number;
  readonly crc32: number;
  /** Milliseconds since 1970. */
  readonly modified: number;
}

/**
 * The files in a zip, by name. The zip stays open and belongs to the caller.
 *
 * @throws BackupSetError `DAMAGED` when it is no zip, is cut off, or has entries that cannot be read in place; HostError
 */
export async function readZipIndex(zip: HostFile): Promise<ZipMember[]> {
  const failed = (cause: unknown): unknown => (cause instanceof HostError ? cause : damaged(zip.path, cause));
  const size = await zip.size();
  try {
    const archive = await fromRandomAccessReaderPromise(new ZipReader(zip), size, {
      autoClose: false,
      lazyEntries: true,
    });
    if (archive.entryCount > MAX_ENTRIES) throw new Error(`it has ${archive.entryCount} entries`);
    const members: ZipMember[] = [];
    for await (const entry of archive.eachEntry()) {
      if (!entry.fileName.endsWith('/')) members.push(await toMember(zip, archive, entry, size));
    }
    return members;
  } catch (error) {
    throw failed(error);
  }
}

async function toMember(zip: HostFile, archive: ZipFile, entry: Entry, zipSize: number): Promise<ZipMember> {
  const { fileName: name, uncompressedSize, compressedSize, crc32 } = entry;
  if (entry.isEncrypted()) throw new Error(`${name} is encrypted; unpack it into a folder first`);
  if (entry.compressionMethod !== STORED || compressedSize !== uncompressedSize)
    throw new Error(`${name} is compressed, so it cannot be read in place; unpack the zip into a folder first`);
  const { fileDataStart: start } = await archive.readLocalFileHeaderPromise(entry, { minimal: true });
  if (start + uncompressedSize > zipSize) throw new Error(`${name} reaches past its end`);
  return { zip, name, start, size: uncompressedSize, crc32, modified: entry.getLastModDate().getTime() };
}

function damaged(path: string, cause: unknown): BackupSetError {
  const why = cause instanceof Error ? cause.message : String(cause);
  const text = `${path} cannot be used as a zip of a backup: ${why}. If it was cut off, its backup did not succeed.`;
  return new BackupSetError('DAMAGED', text, { file: path, cause });
}

/** Lets yauzl read through the host. */
class ZipReader extends RandomAccessReader {
  readonly #zip: HostFile;

  constructor(zip: HostFile) {
    super();
    this.#zip = zip;
  }

  override read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
    callback: (error: Error | null) => void,
  ): void {
    this.#zip.read(position, buffer.subarray(offset, offset + length)).then(() => callback(null), callback);
  }

  override _readStreamForRange(start: number, end: number): Readable {
    const zip = this.#zip;
    return Readable.from(
      (async function* () {
        for (let at = start; at < end; at += PIECE) {
          const piece = Buffer.alloc(Math.min(PIECE, end - at));
          await zip.read(at, piece);
          yield piece;
        }
      })(),
    );
  }

  override close(callback: (error: Error | null) => void): void {
    callback(null);
  }
}

/** Opens zips, and closes them all together. */
export async function openZips(
  host: Host,
  paths: readonly string[],
): Promise<{ members: ZipMember[]; close(): Promise<void> }> {
  const files: HostFile[] = [];
  const close = async (): Promise<void> => {
    for (const file of files.splice(0)) await file.close();
  };
  try {
    const members: ZipMember[] = [];
    for (const path of paths) {
      const file = await host.files.open(path, 'read');
      files.push(file);
      members.push(...(await readZipIndex(file)));
    }
    return { members, close };
  } catch (error) {
    await close();
    throw error;
  }
}
