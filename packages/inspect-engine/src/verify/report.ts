import type { FileRole, SetProblem } from '@virtnbd/backup-set';
import type { ByteRange } from '@virtnbd/virtual-disk';

/** `not-verifiable`: nothing was found wrong, and there is no checksum that would show it. */
export type Verdict = 'ok' | 'not-verifiable' | 'damaged';

/** What a file's bytes were compared with. */
export type Check = 'chunks' | 'adler32' | 'sha256' | 'none';

export interface FileVerdict {
  file: string;
  /** The point that the file belongs to. */
  point: string;
  /** null for a file beside the disks. */
  disk: string | null;
  role: FileRole;
  /** Bytes that the file has; null when it is missing. */
  fileBytes: number | null;
  check: Check;
  verdict: Verdict;
  /** Frames that were decoded under `deep`; null otherwise. */
  framesDecoded: number | null;
  message: string | null;
}

/** What is wrong with one file, and what that does. Lists of ranges may be long: iterate them. */
export interface Damage {
  file: string;
  point: string;
  disk: string | null;
  message: string;
  /** Whether `diskRanges` tells the damaged places; otherwise it is the whole disk. */
  located: boolean;
  /** A restore refuses the file altogether: more than the content of frames is damaged, or nobody knows where. */
  unusable: boolean;
  /** Damaged ranges of the file, in bytes. */
  fileRanges: Iterable<ByteRange>;
  /** Ranges of the disk that they hold, in bytes. */
  diskRanges: Iterable<ByteRange>;
  diskBytes: number;
  /** Points that cannot be brought back exactly. */
  spoils: string[];
  /** Points that use the file, but hold newer data wherever it is damaged. */
  hidden: string[];
}

export interface PointVerdict {
  id: string;
  verdict: Verdict;
  /** Why, one line a reason. */
  reasons: string[];
}

/** What a verification found (SCHEMA.md, `virtnbd-verify`). */
export interface VerifyReport {
  schema: 'virtnbd-verify';
  version: 1;
  folder: string;
  /** The one point that was verified; null for all. */
  until: string | null;
  deep: boolean;
  verdict: Verdict;
  /** Bytes of the files that were read. */
  bytes: number;
  files: FileVerdict[];
  damage: Damage[];
  points: PointVerdict[];
  problems: SetProblem[];
}

const ORDER: readonly Verdict[] = ['ok', 'not-verifiable', 'damaged'];

export function worstVerdict(verdicts: Iterable<Verdict>): Verdict {
  let worst: Verdict = 'ok';
  for (const verdict of verdicts) if (ORDER.indexOf(verdict) > ORDER.indexOf(worst)) worst = verdict;
  return worst;
}
