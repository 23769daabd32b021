import type { JsonValue } from './checked-json.ts';

/** That what a point gives back was compared with the VM's disks: a run that finds a difference makes no point. */
export interface Proof {
  /** How much of every disk was compared, 1 to 100. */
  percent: number;
  /** What the sample was drawn by, so that it can be drawn again: 32 hex digits; null when all was compared. */
  seed: string | null;
  /** Bytes that were compared, of all disks together. */
  bytes: number;
}

const SEED = /^[0-9a-f]{32}$/;

export function readProof(value: JsonValue): Proof {
  const fields = value.object(['percent', 'seed', 'bytes']);
  const percent = fields.get('percent').count(100);
  if (percent === 0) throw fields.get('percent').refuse('1 to 100');
  const seed = fields.get('seed').nullOr((text) => text.match(SEED, '32 hex digits'));
  if ((seed === null) !== (percent === 100)) throw value.refuse('with a seed for a sample and without for all');
  return { percent, seed, bytes: fields.get('bytes').count() };
}
