/** Why a backup run failed; stable, to be matched by programs. */
export type BackupErrorCode =
  | 'NO_DISKS'
  | 'UNKNOWN_DISK'
  | 'UNSUPPORTED_DISK'
  | 'DOMAIN_ACTIVE'
  | 'FOLDER_IN_USE'
  | 'FOLDER_NOT_EMPTY'
  | 'NOTHING_TO_INCREMENT'
  | 'WRONG_DOMAIN'
  | 'BITMAP_LOST'
  | 'BITMAP_EXISTS'
  | 'JOB_ACTIVE'
  | 'BAD_OPTIONS'
  | 'BAD_PATH'
  | 'BOOT_FILE'
  | 'WATCHDOG'
  | 'NOT_PERMITTED'
  | 'OLD_VERSION'
  | 'NO_BACKUPS' // the hypervisor makes none of such a VM while it has a process
  | 'NO_SPACE'
  | 'NO_JOB'
  | 'SCRATCH_FULL'
  | 'PROOF_FAILED'
  | 'EXPORT_MISMATCH'
  | 'COPY_FAILED'
  | 'ONLY_LIBVIRT' // neither files nor programs of the hypervisor's host are reached
  | 'SOCKET_DENIED'
  | 'TLS_FAILED'; // the certificates of the two sides do not go together

/** A backup that could not be made, or not be undone; the message says what happened, to what, and what to do. */
export class BackupError extends Error {
  override readonly name = 'BackupError';
  readonly code: BackupErrorCode;
  /** The disk's target name, where one disk is to blame. */
  readonly disk: string | undefined;

  constructor(code: BackupErrorCode, message: string, options: { cause?: unknown; disk?: string } = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.disk = options.disk;
  }
}

/** A dirty bitmap that no checkpoint of libvirt's belongs to is in the way of a new one. */
export function bitmapExists(name: string, disk: string, cause?: unknown): BackupError {
  return new BackupError(
    'BITMAP_EXISTS',
    `disk ${disk} already has a dirty bitmap ${name}, and libvirt knows no such checkpoint: the VM was moved here, or its ` +
      "checkpoints were forgotten. Either name the place of the checkpoints' XML, from which they are defined again " +
      '(--checkpointdir), or make a full backup into a new folder, which removes the bitmap',
    { cause, disk },
  );
}
