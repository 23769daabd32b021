/** Why a restore failed; stable, to be matched by programs. */
export type RestoreErrorCode =
  /** The folder holds no restore point. */
  | 'EMPTY_FOLDER'
  | 'UNKNOWN_DISK'
  /** A sequence of files that makes no disk. */
  | 'BAD_SEQUENCE'
  /** A format that cannot be made, or not with the options that were asked for. */
  | 'BAD_FORMAT'
  | 'BAD_IMAGE_OPTIONS'
  /** A file that would be made is there already. */
  | 'TARGET_EXISTS'
  /** Another restore writes there. */
  | 'TARGET_BUSY'
  /** Two images would get one name. */
  | 'NAME_CLASH'
  /** A device or an image that is not what it must be: too small, no device, of another format. */
  | 'BAD_TARGET'
  /** Somebody else uses the device or the image. */
  | 'TARGET_IN_USE'
  | 'WRITE_FAILED'
  | 'NO_SPACE'
  /** What was read back is not what was written. */
  | 'VERIFY_FAILED'
  /** The backup is damaged where the point needs it. */
  | 'DAMAGED'
  /** The VM's configuration is none that libvirt writes. */
  | 'BAD_DOMAIN'
  /** The backup holds no configuration of the VM. */
  | 'NO_CONFIG'
  /** A VM of the restored one's name is there. */
  | 'DOMAIN_EXISTS'
  /** libvirt does not take the restored configuration; all else is restored. */
  | 'DEFINE_FAILED';

/** A restore that could not be made; the message says what happened, to what, and what to do. */
export class RestoreError extends Error {
  override readonly name = 'RestoreError';
  readonly code: RestoreErrorCode;
  /** The disk's target name, where one disk is to blame. */
  readonly disk: string | undefined;

  constructor(code: RestoreErrorCode, message: string, options: { cause?: unknown; disk?: string } = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.disk = options.disk;
  }
}
