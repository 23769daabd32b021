import type { Host } from '@virtnbd/host';
import { BackupSetError } from '../errors.ts';
import { assertSafeName, checkpointListName, type Level, PARTIAL_SUFFIX } from '../names.ts';
import { type Intent, type JobTraces, newRunId } from '../records/intent.ts';
import type { DomainIdentity, Manifest, Writer } from '../records/manifest.ts';
import type { Proof } from '../records/proof.ts';
import type { BackupSet } from '../set.ts';

/** What a run is about to make. */
export interface TransactionPlan {
  point: string;
  level: Level;
  domain: DomainIdentity;
  writer: Writer;
  /** The checkpoint that the run creates; null for copy and diff. */
  checkpoint: string | null;
  /** The point that this one follows; null for full and copy. */
  parent: string | null;
  /** Names that are known already. Others are added when they are written. */
  files?: readonly string[];
  /** Where the checkpoints' XML lies when that is not `checkpoints` in the folder; absolute. */
  checkpointFolder?: string;
  job?: JobTraces;
}

/** The intent of a run whose parent can be brought back. @throws BackupSetError what is wrong with the parent */
export async function toIntent(host: Host, set: BackupSet, plan: TransactionPlan, piped: boolean): Promise<Intent> {
  const { point, level, domain, checkpoint, parent } = plan;
  if (parent !== null) set.chain(parent);
  // Names that come last: if they cannot be, nothing may begin.
  checkpointListName(domain.name);
  const time = set.checkpoints.find(({ name }) => name === parent)?.creationTime ?? null;
  const earlier = level === 'full' ? [] : set.checkpoints.map(({ name }) => name);
  const raw = set.points.flatMap(({ manifest, disks }) => (manifest === null ? disks : []));
  return {
    run: newRunId(),
    owner: await host.identity(),
    started: new Date().toISOString(),
    point,
    level,
    domain: { name: domain.name, uuid: domain.uuid.toLowerCase() },
    checkpoint,
    checkpointTime: null,
    parent,
    parentCheckpoint: parent === null || time === null ? null : { name: parent, creationTime: time },
    checkpoints: checkpoint === null ? [] : [...earlier, checkpoint],
    piped: piped ? 'open' : null,
    files: piped ? [] : (plan.files ?? []).map(assertSafeName),
    checkpointFolder: plan.checkpointFolder ?? null,
    superseded: [],
    job: plan.job ?? null,
    adopted: raw.filter(({ kind }) => kind === 'raw').map(({ file, fileSize }) => ({ name: file, size: fileSize })),
    filesRolledBack: false,
  };
}

/** Both names that each file has in its life. */
export function withPartial(names: readonly string[]): string[] {
  return names.flatMap((name) => [name, `${name}${PARTIAL_SUFFIX}`]);
}

/** @throws BackupSetError `EXISTS` when the folder has an entry of one of the names */
export async function requireAbsent(host: Host, folder: string, names: readonly string[]): Promise<void> {
  const existing = new Set((await host.files.list(folder)).map(({ name }) => name));
  const file = names.find((name) => existing.has(name));
  if (file === undefined) return;
  const text = `${file} is in ${folder} already, and a backup never replaces a file. Use another folder, or move it away.`;
  throw new BackupSetError('EXISTS', text, { file });
}

/**
 * The manifest of the point that a run has written.
 *
 * @throws BackupSetError `STATE` when the checkpoint that it was to make was not recorded
 */
export function manifestOf(
  intent: Intent,
  made: Pick<Manifest, 'writer' | 'disks' | 'files'> & { created: Date; proof: Proof | undefined },
): Manifest {
  const { point, level, domain, checkpoint, checkpointTime, parent, parentCheckpoint, adopted, run } = intent;
  const { writer, created, disks, files, proof } = made;
  if (checkpoint !== null && checkpointTime === null) {
    throw new BackupSetError('STATE', `The checkpoint ${checkpoint} was not recorded.`, { point });
  }
  return {
    point,
    level,
    created: created.toISOString(),
    writer,
    domain,
    checkpoint: checkpoint === null ? null : { name: checkpoint, creationTime: checkpointTime ?? 0 },
    parent,
    parentCheckpoint,
    disks,
    files,
    ...(adopted.length === 0 ? {} : { adopted }),
    run,
    ...(proof === undefined ? {} : { proof }),
  };
}
