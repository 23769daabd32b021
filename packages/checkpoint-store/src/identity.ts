/** A checkpoint as the VM has it. */
export interface DomainCheckpoint {
  name: string;
  parent: string | null;
  /** Seconds since 1970. */
  creationTime: number;
  /** Says which run made it, when one of ours did. */
  description?: string | null;
}

/** A checkpoint that a backup folder has recorded with a committed point. */
export interface RecordedCheckpoint {
  name: string;
  /** Seconds since 1970; null when the folder does not tell. */
  creationTime: number | null;
  /** What the run that made it wrote as its description; absent or null when the folder does not tell. */
  description?: string | null;
}

const OWN = /^virtnbdbackup\.(\d{1,15})$/;

/** The number N in `virtnbdbackup.N`; null for every name that is not of this kind. */
export function ownNumber(name: string): number | null {
  const digits = OWN.exec(name)?.[1];
  return digits === undefined ? null : Number(digits);
}

export function checkpointName(number: number): string {
  return `virtnbdbackup.${number}`;
}

/** At the end of the description of a checkpoint that was defined again from its XML: its bitmap may be another chain's. */
export const DEFINED_AGAIN = '(defined again)';

/** Whether the checkpoint was defined again, so that what its bitmap tells is not to be believed. */
export function isDefinedAgain({ description }: DomainCheckpoint): boolean {
  return description?.endsWith(DEFINED_AGAIN) ?? false;
}

/**
 * Names are used again by every new chain, and two chains may begin in the same second: a recorded checkpoint is the one
 * that the VM has only when everything that the folder tells of it agrees.
 */
export function isSame(recorded: RecordedCheckpoint, found: DomainCheckpoint): boolean {
  const { description = null } = recorded;
  if (recorded.name !== found.name || recorded.creationTime !== found.creationTime) return false;
  if (description === null) return true;
  return description === (found.description ?? null) || `${description} ${DEFINED_AGAIN}` === found.description;
}

/** The order in which checkpoints can be deleted one by one: children before their parents, unrelated ones by number. */
export function childrenFirst(checkpoints: readonly DomainCheckpoint[]): string[] {
  const byName = new Map(checkpoints.map((checkpoint) => [checkpoint.name, checkpoint]));
  const depth = ({ parent, name }: DomainCheckpoint): number => {
    let steps = 0;
    const seen = new Set([name]);
    for (let next = parent; next !== null && !seen.has(next); next = byName.get(next)?.parent ?? null) {
      seen.add(next);
      steps++;
    }
    return steps;
  };
  const depths = new Map(checkpoints.map((checkpoint) => [checkpoint.name, depth(checkpoint)]));
  return [...byName.keys()].sort(
    (a, b) => (depths.get(b) ?? 0) - (depths.get(a) ?? 0) || (ownNumber(b) ?? 0) - (ownNumber(a) ?? 0),
  );
}
