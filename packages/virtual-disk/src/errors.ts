/** What went wrong, stable across versions. Match on this, never on the text of a message. */
export type VirtualDiskErrorCode =
  /** A read outside the disk. */
  | 'OUT_OF_RANGE'
  /** The caller broke the contract of a function: no layers. */
  | 'USAGE';

/** The error class of this package. Damage in a layer is a StreamFormatError of the layer's file. */
export class VirtualDiskError extends Error {
  override readonly name = 'VirtualDiskError';
  readonly code: VirtualDiskErrorCode;
  /** Offset on the disk, in bytes, where there is one. */
  readonly offset?: number;

  constructor(code: VirtualDiskErrorCode, message: string, options: { offset?: number } = {}) {
    super(message);
    this.code = code;
    if (options.offset !== undefined) this.offset = options.offset;
  }
}
