/**
 * SFTP version 3 (draft-ietf-secsh-filexfer-02), the version that OpenSSH speaks. Every packet:
 *
 *     0   uint32  length of what follows
 *     4   byte    type
 *     5   uint32  id of the request (not in INIT and VERSION)
 *     9   …       by type; a string is a uint32 length and its bytes, numbers are big-endian
 */
export const SftpType = {
  INIT: 1,
  VERSION: 2,
  OPEN: 3,
  CLOSE: 4,
  READ: 5,
  WRITE: 6,
  LSTAT: 7,
  FSTAT: 8,
  SETSTAT: 9,
  FSETSTAT: 10,
  OPENDIR: 11,
  READDIR: 12,
  REMOVE: 13,
  MKDIR: 14,
  RMDIR: 15,
  STAT: 17,
  RENAME: 18,
  STATUS: 101,
  HANDLE: 102,
  DATA: 103,
  NAME: 104,
  ATTRS: 105,
  EXTENDED: 200,
  EXTENDED_REPLY: 201,
} as const;

export const SftpStatus = { OK: 0, EOF: 1, NO_SUCH_FILE: 2, PERMISSION_DENIED: 3, FAILURE: 4, BAD_MESSAGE: 5 } as const;

/** pflags of OPEN. */
export const SftpFlag = { READ: 1, WRITE: 2, APPEND: 4, CREAT: 8, EXCL: 32 } as const;

/** Bits of an ATTRS structure that say which fields follow. */
const ATTR_SIZE = 1;
const ATTR_UIDGID = 2;
const ATTR_PERMISSIONS = 4;
const ATTR_ACMODTIME = 8;
const ATTR_EXTENDED = 0x80000000;

/** Longer packets than any reply to what is asked here. */
export const MAX_PACKET = 1 << 20;

export interface SftpAttributes {
  size: number;
  /** st_mode, with the kind of file. */
  mode: number;
  /** Seconds since 1970. */
  modified: number;
  uid: number;
  gid: number;
}

export class SftpProtocolError extends Error {}

/** Builds the payload of a request. */
export class SftpWriter {
  readonly #parts: Buffer[] = [];

  u32(value: number): this {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(value >>> 0);
    this.#parts.push(bytes);
    return this;
  }

  u64(value: number): this {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(BigInt(value));
    this.#parts.push(bytes);
    return this;
  }

  bytes(value: Uint8Array | string): this {
    const bytes = Buffer.from(value);
    return this.u32(bytes.length).raw(bytes);
  }

  raw(value: Buffer): this {
    this.#parts.push(value);
    return this;
  }

  permissions(mode: number): this {
    return this.u32(ATTR_PERMISSIONS).u32(mode);
  }

  sized(size: number): this {
    return this.u32(ATTR_SIZE).u64(size);
  }

  none(): this {
    return this.u32(0);
  }

  /** The whole packet. */
  packet(type: number, id: number): Buffer {
    const body = Buffer.concat(this.#parts);
    const head = Buffer.alloc(9);
    head.writeUInt32BE(body.length + 5);
    head.writeUInt8(type, 4);
    head.writeUInt32BE(id, 5);
    return Buffer.concat([head, body]);
  }
}

/** Reads the payload of a reply; a field that reaches past the end is a protocol error. */
export class SftpReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  u32(): number {
    return this.#take(4).readUInt32BE();
  }

  u64(): number {
    const value = this.#take(8).readBigUInt64BE();
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new SftpProtocolError('a number is larger than any file');
    return Number(value);
  }

  skip(length: number): void {
    this.#take(length);
  }

  bytes(): Buffer {
    return this.#take(this.u32());
  }

  text(): string {
    return this.bytes().toString('utf8');
  }

  attributes(): SftpAttributes {
    const flags = this.u32();
    const size = flags & ATTR_SIZE ? this.u64() : 0;
    const [uid, gid] = flags & ATTR_UIDGID ? [this.u32(), this.u32()] : [0, 0];
    const mode = flags & ATTR_PERMISSIONS ? this.u32() : 0;
    if (flags & ATTR_ACMODTIME) this.u32();
    const modified = flags & ATTR_ACMODTIME ? this.u32() : 0;
    const extended = (flags & ATTR_EXTENDED) === 0 ? 0 : this.u32();
    for (let left = extended; left > 0; left--) {
      this.bytes();
      this.bytes();
    }
    return { size, uid, gid, mode, modified };
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  #take(length: number): Buffer {
    const end = this.#at + length;
    if (end > this.#bytes.length) throw new SftpProtocolError('a field reaches past the end of its packet');
    const part = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return part;
  }
}
