import {
  type BlockSize,
  NBD_CMD_FLUSH,
  NBD_CMD_TRIM,
  NBD_CMD_WRITE,
  NBD_CMD_WRITE_ZEROES,
  NBD_DEFAULT_MAX_PAYLOAD,
  NBD_FLAG_CAN_MULTI_CONN,
  NBD_FLAG_HAS_FLAGS,
  NBD_FLAG_READ_ONLY,
  NBD_FLAG_SEND_DF,
  NBD_FLAG_SEND_FLUSH,
  NBD_FLAG_SEND_FUA,
  NBD_FLAG_SEND_TRIM,
  NBD_FLAG_SEND_WRITE_ZEROES,
  NBD_MAX_MINIMUM_BLOCK,
  NBD_MAX_STRING,
} from '@virtnbd/nbd-protocol';
import type { BlockSource } from './block-source.ts';
import { NbdServerError } from './errors.ts';

/** A disk to serve. */
export interface NbdExport {
  /** Up to 4096 bytes of UTF-8; the default export's name, '', unless told. */
  name?: string;
  /** For people, in the server's list; up to 4096 bytes. */
  description?: string;
  /** The disk, or how to open it when the first client asks for it. The server never closes it. */
  source: BlockSource | (() => Promise<BlockSource>);
  /** Default false: the export is writable exactly where the source is. */
  readOnly?: boolean;
  /** What clients are told, and held to; 1, 4096 and 32 MiB unless told. `minimum` must divide the source's size. */
  blockSize?: Partial<BlockSize>;
}

/** An export that is open: what a client may do with it. */
export interface OpenExport {
  readonly name: string;
  readonly description: string;
  readonly source: BlockSource;
  readonly blockSize: BlockSize;
  readonly readOnly: boolean;
  /** NBD_CMD_* that change something and are offered. */
  readonly commands: ReadonlySet<number>;
  /** Whether a write may ask to be on stable storage when it is answered. */
  readonly fua: boolean;
}

interface Entry {
  readonly definition: NbdExport;
  readonly name: string;
  readonly blockSize: BlockSize;
  opening?: Promise<OpenExport>;
}

/** The exports of a server by name; a source that is opened late is opened once. */
export class ExportTable {
  readonly #entries = new Map<string, Entry>();
  readonly #defaultName: string;

  /** @throws NbdServerError `USAGE` */
  constructor(exports: Iterable<NbdExport>, defaultExport: string) {
    for (const definition of exports) {
      const name = checkText('name', definition.name ?? '');
      checkText('description', definition.description ?? '');
      if (this.#entries.has(name))
        throw new NbdServerError('USAGE', `two exports have the name ${JSON.stringify(name)}`);
      this.#entries.set(name, { definition, name, blockSize: checkBlockSize(name, definition.blockSize ?? {}) });
    }
    if (this.#entries.size === 0) throw new NbdServerError('USAGE', 'a server needs an export');
    if (defaultExport !== '' && !this.#entries.has(defaultExport)) {
      throw new NbdServerError('USAGE', `there is no export ${JSON.stringify(defaultExport)} to be the default one`);
    }
    this.#defaultName = this.#entries.has('') ? '' : defaultExport;
  }

  list(): { exportName: string; description: string }[] {
    return [...this.#entries.values()].map(({ name, definition }) => ({
      exportName: name,
      description: definition.description ?? '',
    }));
  }

  /** The name that an export has in the list: '' may stand for another one. */
  canonical(name: string): string | undefined {
    return this.#find(name)?.name;
  }

  /** The export of a name, opened; undefined where there is none. Rejects with what the source's opening rejects with. */
  open(name: string): Promise<OpenExport> | undefined {
    const entry = this.#find(name);
    if (entry === undefined) return undefined;
    entry.opening ??= openEntry(entry).catch((error) => {
      // Another client may have more luck.
      delete entry.opening;
      throw error;
    });
    return entry.opening;
  }

  #find(name: string): Entry | undefined {
    return this.#entries.get(name === '' ? this.#defaultName : name);
  }
}

async function openEntry({ definition, name, blockSize }: Entry): Promise<OpenExport> {
  const { source: given, description = '', readOnly = false } = definition;
  const source = typeof given === 'function' ? await given() : given;
  if (!Number.isSafeInteger(source.size) || source.size < 0 || source.size % blockSize.minimum !== 0) {
    throw new NbdServerError(
      'USAGE',
      `export ${JSON.stringify(name)}: ${source.size} bytes are no whole number of blocks of ${blockSize.minimum} bytes`,
    );
  }
  const commands = new Set<number>();
  const writable = !readOnly && source.write !== undefined;
  if (writable) {
    commands.add(NBD_CMD_WRITE);
    if (source.writeZeroes !== undefined) commands.add(NBD_CMD_WRITE_ZEROES);
    if (source.trim !== undefined) commands.add(NBD_CMD_TRIM);
    if (source.flush !== undefined) commands.add(NBD_CMD_FLUSH);
  }
  const fua = commands.has(NBD_CMD_FLUSH);
  return { name, description, source, blockSize, readOnly: !writable, commands, fua };
}

/** NBD_FLAG_* of an export. Several connections are always coherent: all of them reach the same source. */
export function transmissionFlags({ readOnly, commands, fua }: OpenExport, structured: boolean): number {
  return (
    NBD_FLAG_HAS_FLAGS |
    NBD_FLAG_CAN_MULTI_CONN |
    (readOnly ? NBD_FLAG_READ_ONLY : 0) |
    (commands.has(NBD_CMD_FLUSH) ? NBD_FLAG_SEND_FLUSH : 0) |
    (fua ? NBD_FLAG_SEND_FUA : 0) |
    (commands.has(NBD_CMD_TRIM) ? NBD_FLAG_SEND_TRIM : 0) |
    (commands.has(NBD_CMD_WRITE_ZEROES) ? NBD_FLAG_SEND_WRITE_ZEROES : 0) |
    (structured ? NBD_FLAG_SEND_DF : 0)
  );
}

function checkText(what: string, text: string): string {
  if (Buffer.byteLength(text) > NBD_MAX_STRING || text.includes('\0')) {
    throw new NbdServerError('USAGE', `the ${what} of an export has at most ${NBD_MAX_STRING} bytes, and no NUL`);
  }
  return text;
}

function checkBlockSize(name: string, given: Partial<BlockSize>): BlockSize {
  const { minimum = 1, maximum = NBD_DEFAULT_MAX_PAYLOAD } = given;
  const { preferred = Math.max(minimum, Math.min(4096, 2 ** Math.floor(Math.log2(maximum)))) } = given;
  const blockSize = { minimum, preferred, maximum };
  const powers = [minimum, preferred].every((value) => Number.isInteger(value) && Number.isInteger(Math.log2(value)));
  const inOrder = 1 <= minimum && minimum <= preferred && preferred <= maximum;
  if (
    !powers ||
    !inOrder ||
    minimum > NBD_MAX_MINIMUM_BLOCK ||
    maximum > NBD_DEFAULT_MAX_PAYLOAD ||
    maximum % minimum !== 0
  ) {
    throw new NbdServerError(
      'USAGE',
      `export ${JSON.stringify(name)}: block sizes ${minimum}, ${preferred}, ${maximum}: powers of two (the last a multiple of the first), ascending, from 1 to 64 KiB, and to 32 MiB`,
    );
  }
  return blockSize;
}
