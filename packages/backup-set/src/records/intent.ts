import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { type Host, HostError, type HostIdentity } from '@virtnbd/host';
import { BackupSetError } from '../errors.ts';
import { intentName, LEVELS, type Level, parseFileName } from '../names.ts';
import { readHostIdentity } from '../transaction/lock.ts';
import { JsonShapeError, type JsonValue, JsonValue as Value } from './checked-json.ts';
import {
  type AdoptedFile,
  type CheckpointIdentity,
  type DomainIdentity,
  readAdopted,
  readCheckpointIdentity,
  readCheckpointName,
  readDomain,
  readName,
  readPoint,
} from './manifest.ts';

/** What of a run lives outside the folder and is to be cleared away after it died. */
export interface JobTraces {
  /** Absolute path of the job's socket. */
  socketPath: string | null;
  /** Absolute paths. */
  scratchFiles: readonly string[];
  /** The run has started the VM, without letting it run: libvirt's number of that start, 0 before it is known. */
  startedVm?: number;
  /** The run has paused the VM, or is about to. */
  pausedVm?: boolean;
}

/** What a run is about to do: all that is needed to finish or undo it when the run itself cannot. */
export interface Intent {
  /** 32 hex digits, unlike any other run's. It stands in the new checkpoint's description: see `runDescription`. */
  run: string;
  owner: HostIdentity;
  /** ISO 8601. */
  started: string;
  point: string;
  level: Level;
  domain: DomainIdentity;
  /** The checkpoint that the run creates; null for copy and diff. */
  checkpoint: string | null;
  /** Of that checkpoint, seconds since 1970, once it is known. */
  checkpointTime: number | null;
  parent: string | null;
  parentCheckpoint: CheckpointIdentity | null;
  /** What DOMAIN.cpt says once the point is committed, the new checkpoint included; empty when it stays as it is. */
  checkpoints: readonly string[];
  /** Names of all files that the run makes in the folder; while it writes, `.partial` is added to each. */
  files: readonly string[];
  /**
   * Of a point that goes through a pipe, whether all of it was delivered: that is its commit, as no manifest lies in the
   * folder. null when it goes into the folder.
   */
  piped: 'open' | 'delivered' | null;
  /** Where CPT.xml goes when that is not `checkpoints` in the folder; absolute. */
  checkpointFolder: string | null;
  /** Checkpoints of an older chain that the run has removed, or is about to: that chain has ended. */
  superseded: readonly string[];
  job: JobTraces | null;
  adopted: readonly AdoptedFile[];
  /** True once the files are gone and only the VM's side is left to be rolled back. */
  filesRolledBack: boolean;
}

const FORMAT = 'virtnbd-intent';
const LIMIT = 8 * 1024 * 1024;
const RUN = /^[0-9a-f]{32}$/;

/** A new value of `Intent.run`. */
export function newRunId(): string {
  return randomBytes(16).toString('hex');
}

/**
 * What the run's checkpoint must have as its description. By it the checkpoint of a run that was killed is told from
 * one of the same name that somebody else has made since.
 */
export function runDescription(run: string): string {
  return `virtnbd run ${run}`;
}

/** Writes the intent, synced, before anything that it tells of is done. */
export async function writeIntent(host: Host, folder: string, intent: Intent, replace: boolean): Promise<void> {
  const text = `${JSON.stringify({ format: FORMAT, version: 1, ...intent }, null, 2)}\n`;
  decodeIntent(Buffer.from(text), intentName(intent.point));
  await host.files.writeAtomic(join(folder, intentName(intent.point)), text, { mode: 0o600, replace });
}

/** Drops the intent: its run has nothing left to do. */
export async function dropIntent(host: Host, folder: string, point: string): Promise<void> {
  await host.files.remove(join(folder, intentName(point)));
  await host.files.syncFolder(folder);
}

/**
 * The intents in a folder, by point.
 *
 * @throws BackupSetError `BAD_INTENT`
 */
export async function readIntents(host: Host, folder: string): Promise<Intent[]> {
  const intents: Intent[] = [];
  for (const { name } of await host.files.list(folder)) {
    const parsed = parseFileName(name);
    if (parsed?.kind !== 'intent' || parsed.partial) continue;
    const intent = decodeIntent(await readIntentFile(host, folder, name), name);
    if (intent.point !== parsed.ident) throw damaged(name, `it tells of the point ${intent.point}`);
    intents.push(intent);
  }
  return intents;
}

async function readIntentFile(host: Host, folder: string, name: string): Promise<Uint8Array> {
  try {
    return await host.files.readSmall(join(folder, name), LIMIT);
  } catch (cause) {
    if (cause instanceof HostError && cause.code === 'TOO_LARGE') throw damaged(name, cause.message, cause);
    throw cause;
  }
}

const KEYS = [
  ...['format', 'version', 'run', 'owner', 'started', 'point', 'level', 'domain', 'checkpoint', 'checkpointTime'],
  ...['parent', 'parentCheckpoint', 'checkpoints', 'files', 'checkpointFolder', 'superseded', 'job', 'adopted'],
  'filesRolledBack',
  'piped',
];

/** @throws BackupSetError `BAD_INTENT` */
function decodeIntent(bytes: Uint8Array, file: string): Intent {
  try {
    return readFields(Value.parse(bytes));
  } catch (cause) {
    if (!(cause instanceof JsonShapeError) && !(cause instanceof BackupSetError)) throw cause;
    throw damaged(file, cause.message, cause);
  }
}

function readFields(value: JsonValue): Intent {
  const fields = value.object(KEYS);
  fields.get('format').oneOf([FORMAT]);
  if (fields.get('version').count() !== 1) throw fields.get('version').refuse('1');
  return {
    run: fields.get('run').match(RUN, '32 hex digits'),
    owner: readHostIdentity(fields.get('owner')),
    started: fields.get('started').text(64),
    point: readPoint(fields.get('point')),
    level: fields.get('level').oneOf(LEVELS),
    domain: readDomain(fields.get('domain')),
    checkpoint: fields.get('checkpoint').nullOr(readCheckpointName),
    checkpointTime: fields.get('checkpointTime').nullOr((time) => time.count()),
    parent: fields.get('parent').nullOr(readPoint),
    parentCheckpoint: fields.get('parentCheckpoint').nullOr(readCheckpointIdentity),
    checkpoints: fields.get('checkpoints').list(100_000, readCheckpointName),
    files: fields.get('files').list(16 * 1024, readOwnName),
    piped: fields.get('piped').nullOr((state) => state.oneOf(['open', 'delivered'])),
    checkpointFolder: fields.get('checkpointFolder').nullOr(readPath),
    superseded: fields.get('superseded').list(100_000, (name) => name.text()),
    job: fields.get('job').nullOr(readJob),
    adopted: fields.get('adopted').list(1024, readAdopted),
    filesRolledBack: fields.get('filesRolledBack').flag(),
  };
}

/** A file that a run may make and, rolling back, remove: never one of those that only the transaction itself writes. */
function readOwnName(value: JsonValue): string {
  const name = readName(value);
  const parsed = parseFileName(name);
  const kind = parsed?.kind;
  const reserved = kind === 'manifest' || kind === 'intent' || kind === 'verdict' || kind === 'checkpoint-list';
  if (reserved || kind === 'set-lock' || kind === 'vm-lock' || parsed?.partial || name.endsWith('.partial')) {
    throw value.refuse('a file of a restore point');
  }
  return name;
}

function readPath(value: JsonValue): string {
  return value.match(/^\/[^\0]*$/, 'an absolute path');
}

function readJob(value: JsonValue): JobTraces {
  const fields = value.object(['socketPath', 'scratchFiles'], ['startedVm', 'pausedVm']);
  const startedVm = fields.optional('startedVm', (id) => id.count());
  const pausedVm = fields.optional('pausedVm', (flag) => flag.flag());
  return {
    socketPath: fields.get('socketPath').nullOr(readPath),
    scratchFiles: fields.get('scratchFiles').list(1024, readPath),
    ...(startedVm === undefined ? {} : { startedVm }),
    ...(pausedVm === undefined ? {} : { pausedVm }),
  };
}

function damaged(file: string, reason: string, cause?: unknown): BackupSetError {
  const todo =
    'No run is made over it: restore it from another copy of the folder, or, when that cannot be, remove it.';
  return new BackupSetError('BAD_INTENT', `The intent ${file} cannot be used: ${reason}. ${todo}`, { file, cause });
}
