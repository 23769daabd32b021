/** What went wrong, stable across versions. Match on this, never on the text of a message. */
export type StreamFormatErrorCode =
  /** A frame header is not 40 bytes of the expected shape, or its kind cannot stand there. */
  | 'BAD_FRAME_HEADER'
  /** Data and zero frames overlap or are not in ascending order. */
  | 'FRAME_ORDER'
  /** The JSON of the meta frame is unreadable, incomplete or contradicts the frames. */
  | 'BAD_META'
  /** The compression trailer is missing, unreadable or does not match the data frames. */
  | 'BAD_TRAILER'
  /** The file ends before its end mark. */
  | 'TRUNCATED'
  /** The bytes of a data frame are damaged: no LZ4 frame, a checksum that differs, a wrong length. */
  | 'BAD_PAYLOAD'
  /** A frame or a read lies outside the disk. */
  | 'OUT_OF_RANGE'
  /** A value is larger than this package accepts. */
  | 'LIMIT'
  /** A version, compression method or feature that this package does not know. */
  | 'UNSUPPORTED'
  /** The file's bytes are not those that its chunk checksums were made of. */
  | 'CHECKSUM'
  /** The chunk checksum file itself is damaged. */
  | 'BAD_CHECKSUM_FILE'
  /** The caller broke the contract of a function. */
  | 'USAGE';

export interface StreamFormatErrorOptions {
  /** Offset in the stream file, in bytes, of what is wrong. */
  readonly fileOffset?: number | undefined;
  /** Name of the stream file, as the caller gave it. */
  readonly file?: string | undefined;
  readonly cause?: unknown;
}

/** The one error class of this package. */
export class StreamFormatError extends Error {
  override readonly name = 'StreamFormatError';
  readonly code: StreamFormatErrorCode;
  /** Offset in the stream file, in bytes, where it is known. */
  readonly fileOffset?: number;
  /** Name of the stream file, where the caller gave one. */
  readonly file?: string;

  constructor(code: StreamFormatErrorCode, message: string, options: StreamFormatErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    if (options.fileOffset !== undefined) this.fileOffset = options.fileOffset;
    if (options.file !== undefined) this.file = options.file;
  }
}

/** The same error with the file's name in front of its message; other errors are returned as they are. */
export function withFileName(error: unknown, file: string | undefined): unknown {
  if (file === undefined || !(error instanceof StreamFormatError) || error.file !== undefined) return error;
  return new StreamFormatError(error.code, `${file}: ${error.message}`, {
    file,
    fileOffset: error.fileOffset,
    cause: error,
  });
}
