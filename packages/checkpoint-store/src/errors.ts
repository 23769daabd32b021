/** Stable codes of {@link CheckpointStoreError} and of a refusal; match by these, never by a message. */
export type CheckpointStoreErrorCode =
  /** the VM has checkpoints that are not ours */
  | 'FOREIGN'
  /** a checkpoint has the name that the folder recorded, and another creation time: another chain has taken its place */
  | 'SUPERSEDED'
  /** a checkpoint of our kind that the folder knows nothing of: another folder or tool goes on with the chain */
  | 'UNRECORDED'
  /** the folder has no committed checkpoint */
  | 'NOTHING_TO_INCREMENT'
  /** the folder does not tell when its last checkpoint was created */
  | 'IDENTITY_UNKNOWN'
  /** a run that did not end has left the checkpoint that comes next */
  | 'UNCOMMITTED'
  /** libvirt deletes no checkpoint of a VM that is off */
  | 'DOMAIN_OFF';

/** Something that keeps a run from going on with the chain of checkpoints. Errors of libvirt come through as they are. */
export class CheckpointStoreError extends Error {
  readonly code: CheckpointStoreErrorCode;
  /** The names that it is about. */
  readonly checkpoints: readonly string[];

  constructor(
    code: CheckpointStoreErrorCode,
    message: string,
    fields: { checkpoints?: readonly string[]; cause?: unknown } = {},
  ) {
    super(message, fields.cause === undefined ? undefined : { cause: fields.cause });
    this.name = 'CheckpointStoreError';
    this.code = code;
    this.checkpoints = fields.checkpoints ?? [];
  }
}
