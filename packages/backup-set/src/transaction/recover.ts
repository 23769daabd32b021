import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { type Host, HostError, isTemporaryName } from '@virtnbd/host';
import { BackupSetError } from '../errors.ts';
import {
  CHECKPOINT_FOLDER,
  checkpointNumber,
  type Level,
  manifestName,
  PARTIAL_SUFFIX,
  parseFileName,
  stagedCheckpointName,
} from '../names.ts';
import { writeCheckpointList, writeCheckpointXml } from '../records/checkpoint-files.ts';
import { dropIntent, type Intent, type JobTraces, readIntents, writeIntent } from '../records/intent.ts';
import { type DomainIdentity, decodeManifest, MANIFEST_LIMIT, type Manifest } from '../records/manifest.ts';

/** What became of a run that had not ended, and what is left to do on the VM's side. */
export interface Recovery {
  action: 'rolled-forward' | 'rolled-back';
  point: string;
  level: Level;
  domain: DomainIdentity;
  /**
   * The run's checkpoint, null when it was to make none. `delete`: it is in no committed point and must go, when it is
   * there at all; `keep`: the point is committed.
   */
  checkpoint: CheckpointDuty | null;
  /** Checkpoints of an older chain that the run had removed or was about to remove: that chain has ended. */
  superseded: readonly string[];
  /** Socket and scratch files that the run may have left. */
  job: JobTraces | null;
  /** Names of the files that were removed. */
  removed: readonly string[];
  /**
   * Takes down what the recovery itself is about to leave outside the folder, or does not leave any more: the next one
   * goes by it when this one does not come to its end.
   */
  setJob(job: JobTraces): Promise<void>;
  /** Drops the intent. To be called once the VM's side is done; until then every `recover` returns it again. */
  settle(): Promise<void>;
}

export interface CheckpointDuty {
  action: 'keep' | 'delete';
  name: string;
  /** The run that made it: its description is `runDescription(run)`. */
  run: string;
  /** Seconds since 1970; null when the run died before it knew. */
  creationTime: number | null;
}

export interface RecoverOptions {
  /** Where the checkpoints' XML lies when that is not `checkpoints` in the folder; absolute. */
  checkpointFolder?: string;
}

const XML_LIMIT = 4 * 1024 * 1024;

/**
 * Ends what runs have left that did not end: forward when the point's manifest is there, back when not. May be called
 * any number of times, also after it was itself interrupted. The caller holds the folder's lock.
 *
 * @throws BackupSetError `BUSY` when a run that is recorded still lives; `BAD_INTENT`, `BAD_MANIFEST`, `DAMAGED`
 */
export async function recover(host: Host, folder: string, options: RecoverOptions = {}): Promise<Recovery[]> {
  const intents = await readIntents(host, folder);
  for (const intent of intents) await requireEnded(host, intent);
  await removeTemporary(host, folder);
  const recoveries: Recovery[] = [];
  for (const intent of intents)
    recoveries.push(await settleIntent(host, folder, intent, options.checkpointFolder ?? null));
  return recoveries;
}

/** An intent decides nothing about places outside the folder: the caller does. */
function otherCheckpointFolder({ point, checkpointFolder }: Intent): BackupSetError {
  const where = checkpointFolder ?? `${CHECKPOINT_FOLDER} in the folder`;
  const text = `The run that was to make ${point} kept its checkpoints' XML in ${where}: name that place again.`;
  return new BackupSetError('BAD_INTENT', text, { point });
}

/** One of our own process's runs is one that failed: it may be undone. */
async function requireEnded(host: Host, { owner, point, started }: Intent): Promise<void> {
  const self = await host.identity();
  const own = owner.pid === self.pid && owner.startTime === self.startTime && owner.bootId === self.bootId;
  if (own || (await host.isAlive(owner)) !== true) return;
  const text = `Process ${owner.pid} has been making ${point} since ${started} and still runs. Wait for it or end it.`;
  throw new BackupSetError('BUSY', text, { point });
}

async function removeTemporary(host: Host, folder: string): Promise<void> {
  for (const { name, kind } of await host.files.list(folder)) {
    if (kind === 'file' && isTemporaryName(name)) await host.files.remove(join(folder, name));
  }
}

/** Forward or back, as the manifest decides; the intent stays. */
export async function settleIntent(
  host: Host,
  folder: string,
  intent: Intent,
  checkpointFolder: string | null,
): Promise<Recovery> {
  if (intent.checkpointFolder !== checkpointFolder) throw otherCheckpointFolder(intent);
  // A rename that did not reach the disk yet is no commit that could be relied upon.
  await host.files.syncFolder(folder);
  const manifest = intent.piped === null ? await readManifest(host, folder, intent.point) : null;
  const committed = manifest !== null || intent.piped === 'delivered';
  const removed = committed ? [] : await rollBackFiles(host, folder, intent);
  if (committed) await finishFiles(host, folder, intent, manifest);
  const left = committed ? intent : withoutFiles(intent);
  const { point, level, domain, checkpoint, checkpointTime, run, superseded, job } = intent;
  const action = committed ? 'keep' : 'delete';
  return {
    action: committed ? 'rolled-forward' : 'rolled-back',
    point,
    level,
    domain,
    checkpoint: checkpoint === null ? null : { action, name: checkpoint, run, creationTime: checkpointTime },
    superseded,
    job,
    removed,
    setJob: (traces) => writeIntent(host, folder, { ...left, job: traces }, true),
    settle: () => dropIntent(host, folder, point),
  };
}

async function readManifest(host: Host, folder: string, point: string): Promise<Manifest | null> {
  const name = manifestName(point);
  try {
    return decodeManifest(await host.files.readSmall(join(folder, name), MANIFEST_LIMIT), name);
  } catch (error) {
    if (error instanceof HostError && error.code === 'NOT_FOUND') return null;
    throw error;
  }
}

/** Removes exactly the files that the intent names, whichever of their two names they have by now. */
async function rollBackFiles(host: Host, folder: string, intent: Intent): Promise<string[]> {
  if (intent.filesRolledBack) return [];
  const committed = await committedFiles(host, folder);
  const removed: string[] = [];
  for (const name of intent.files) {
    // Whatever an intent says: what a committed point consists of stays.
    const names = committed.has(name) ? [`${name}${PARTIAL_SUFFIX}`] : [`${name}${PARTIAL_SUFFIX}`, name];
    for (const file of names) {
      if ((await host.files.stat(join(folder, file))) === null) continue;
      await host.files.remove(join(folder, file));
      removed.push(file);
    }
  }
  await host.files.syncFolder(folder);
  await writeIntent(host, folder, withoutFiles(intent), true);
  return removed;
}

function withoutFiles(intent: Intent): Intent {
  return { ...intent, files: [], filesRolledBack: true };
}

async function committedFiles(host: Host, folder: string): Promise<Set<string>> {
  const files = new Set<string>();
  for (const { name } of await host.files.list(folder)) {
    const parsed = parseFileName(name);
    if (parsed?.kind !== 'manifest' || parsed.partial) continue;
    const bytes = await host.files.readSmall(join(folder, name), MANIFEST_LIMIT);
    for (const file of decodeManifest(bytes, name).files) files.add(file.name);
  }
  return files;
}

/**
 * What comes after the commit: DOMAIN.cpt and the checkpoint's XML. Each step leaves a state from which the whole can be
 * done again.
 *
 * @param manifest null of a point that went through a pipe
 */
export async function finishFiles(
  host: Host,
  folder: string,
  intent: Intent,
  manifest: Manifest | null,
): Promise<void> {
  const { checkpoint, checkpoints, domain, piped, level } = intent;
  if (checkpoints.length > 0) await writeCheckpointList(host, folder, domain.name, checkpoints);
  if (checkpoint === null) return;
  const target = intent.checkpointFolder ?? join(folder, CHECKPOINT_FOLDER);
  const staged = join(folder, stagedCheckpointName(checkpoint));
  if ((await host.files.stat(staged)) !== null) {
    const xml = await host.files.readSmall(staged, XML_LIMIT);
    if (piped === null) requireListed(xml, checkpoint, manifest);
    await writeCheckpointXml(host, target, checkpoint, Buffer.from(xml).toString('utf8'));
    // The checkpoint folder may be new: it must outlive a crash before the staged file goes.
    await host.files.syncFolder(folder);
    await host.files.remove(staged);
  }
  const isShared = piped !== null || intent.checkpointFolder !== null;
  if (isShared && level === 'full') await removeOtherCheckpoints(host, target, checkpoint);
}

function requireListed(xml: Uint8Array, checkpoint: string, manifest: Manifest | null): void {
  const inside = `${CHECKPOINT_FOLDER}/${checkpoint}.xml`;
  const expected = manifest?.files.find(({ name }) => name === inside)?.sha256;
  if (expected === undefined || createHash('sha256').update(xml).digest('hex') === expected) return;
  const file = stagedCheckpointName(checkpoint);
  const text = `${file} is not the checkpoint's XML that the manifest names: it is damaged. Remove it by hand.`;
  throw new BackupSetError('DAMAGED', text, { file, point: manifest?.point ?? checkpoint });
}

/**
 * Where points go through a pipe, or checkpoints lie apart from them, a full begins a new chain in the same place: what
 * is there of the old one misleads.
 */
async function removeOtherCheckpoints(host: Host, folder: string, checkpoint: string): Promise<void> {
  for (const { name } of await host.files.list(folder)) {
    const old = name.endsWith('.xml') ? name.slice(0, -'.xml'.length) : '';
    if (old !== checkpoint && checkpointNumber(old) !== null) await host.files.remove(join(folder, name));
  }
}
