import { CheckpointStoreError, type CheckpointStoreErrorCode } from './errors.ts';
import {
  checkpointName,
  childrenFirst,
  type DomainCheckpoint,
  isDefinedAgain,
  isSame,
  ownNumber,
  type RecordedCheckpoint,
} from './identity.ts';

export interface PlanInput {
  level: 'full' | 'copy' | 'inc' | 'diff';
  /** What the VM has. */
  domain: readonly DomainCheckpoint[];
  /** What the folder has committed, in any order. */
  recorded: readonly RecordedCheckpoint[];
  /** Checkpoints whose XML the folder holds, and which libvirt may be told of again. */
  stored?: readonly RecordedCheckpoint[];
  /** Checkpoints of runs that did not end, which could not be rolled back yet because the VM is off. */
  uncommitted?: readonly string[];
}

/** What a run does with checkpoints. */
export type CheckpointPlan =
  | { kind: 'copy'; create: null; parent: null; remove: readonly [] }
  /** `remove`: in this order, and only once every check that can fail has passed: it ends the old chain. */
  | { kind: 'full'; create: string; parent: null; remove: readonly string[] }
  | {
      kind: 'inc';
      create: string;
      parent: RecordedCheckpoint;
      lost: boolean;
      definedAgain: boolean;
      remove: readonly [];
    }
  /**
   * A differential makes no checkpoint: the next increment still starts from `parent`. `lost`, here and at inc: the VM
   * does not have the parent's checkpoint any more, so nothing tells what has changed since and all must be saved.
   * `definedAgain`: it has it from its XML, and the bitmap behind it may be of a later chain that used the name again.
   */
  | {
      kind: 'diff';
      create: null;
      parent: RecordedCheckpoint;
      lost: boolean;
      definedAgain: boolean;
      remove: readonly [];
    };

/** libvirt has forgotten checkpoints whose bitmaps may still be in the images: redefine these, in order, and plan anew. */
export interface Redefinition {
  kind: 'redefine';
  checkpoints: readonly string[];
}

export interface Refusal {
  kind: 'refusal';
  code: CheckpointStoreErrorCode;
  message: string;
  checkpoints: readonly string[];
}

/** Decides what a run may do, from what the folder recorded and what the VM has. Nothing is asked, nothing changed. */
export function planCheckpoints(input: PlanInput): CheckpointPlan | Redefinition | Refusal {
  const { level, domain } = input;
  if (level === 'copy') return { kind: 'copy', create: null, parent: null, remove: [] };
  const foreign = domain.map(({ name }) => name).filter((name) => ownNumber(name) === null);
  if (foreign.length > 0) return foreignRefusal(foreign);
  if (level === 'full') return { kind: 'full', create: checkpointName(0), parent: null, remove: childrenFirst(domain) };
  const tip = newest(input.recorded);
  if (tip === undefined) {
    const text = 'The folder has no full backup with a checkpoint to start from. Make a full backup first.';
    return refusal('NOTHING_TO_INCREMENT', text, []);
  }
  return strangers(input) ?? supersededElsewhere(input) ?? forgotten(input, tip) ?? follow(input, tip);
}

/** The plan, or the refusal as an error. A redefinition is left to the caller. */
export function acceptPlan(result: CheckpointPlan | Redefinition | Refusal): CheckpointPlan | Redefinition {
  if (result.kind !== 'refusal') return result;
  throw new CheckpointStoreError(result.code, result.message, { checkpoints: result.checkpoints });
}

function newest(recorded: readonly RecordedCheckpoint[]): RecordedCheckpoint | undefined {
  return [...recorded].sort((a, b) => (ownNumber(a.name) ?? -1) - (ownNumber(b.name) ?? -1)).at(-1);
}

/** Checkpoints of our kind that are not this folder's. */
function strangers({ domain, recorded, uncommitted = [] }: PlanInput): Refusal | null {
  const others = domain.filter(({ name }) => !uncommitted.includes(name));
  const replaced = others.filter((checkpoint) => {
    const known = recorded.find(({ name }) => name === checkpoint.name);
    return known !== undefined && known.creationTime !== null && !isSame(known, checkpoint);
  });
  const unknown = others.filter(({ name }) => !recorded.some((known) => known.name === name));
  const names = [...replaced, ...unknown].map(({ name }) => name);
  const [first] = replaced;
  if (first !== undefined) {
    const known = recorded.find(({ name }) => name === first.name)?.creationTime ?? 0;
    const text =
      `The checkpoint ${first.name} of the VM was created ${when(first.creationTime)}, and this folder recorded one ` +
      `created ${when(known)}: ${maker(first)} has begun a new chain since. Go on in that one's folder, or make a full ` +
      'backup into a new folder.';
    return refusal('SUPERSEDED', text, names);
  }
  const [stranger] = unknown;
  if (stranger === undefined) return null;
  const text =
    `The VM has the checkpoint ${stranger.name}, created ${when(stranger.creationTime)}, of which this folder knows ` +
    `nothing: ${maker(stranger)} goes on with the chain. Go on in that one's folder, or make a full backup into a new ` +
    'folder.';
  return refusal('UNRECORDED', text, names);
}

/** Where several folders share a place for the XML, what lies there may be of a later chain, which the VM has forgotten. */
function supersededElsewhere({ recorded, stored = [] }: PlanInput): Refusal | null {
  const other = stored.find(({ name, creationTime }) => {
    const known = recorded.find((checkpoint) => checkpoint.name === name);
    return (
      known !== undefined && known.creationTime !== null && creationTime !== null && known.creationTime !== creationTime
    );
  });
  if (other === undefined) return null;
  const text =
    `The XML of ${other.name} tells of a checkpoint created ${when(other.creationTime ?? 0)}, which is not the one that ` +
    'this folder recorded: another folder has begun a new chain since. Go on in that one, or make a full backup into a new ' +
    'folder.';
  return refusal('SUPERSEDED', text, [other.name]);
}

/** The last committed checkpoint should be there: an increment is what has changed since. */
function forgotten({ domain, recorded, stored = [] }: PlanInput, tip: RecordedCheckpoint): Redefinition | null {
  if (domain.some(({ name }) => name === tip.name)) return null;
  const lost = recorded
    .map(({ name }) => name)
    .filter((name) => !domain.some((checkpoint) => checkpoint.name === name))
    .sort((a, b) => (ownNumber(a) ?? 0) - (ownNumber(b) ?? 0));
  const candidates = lost.filter((name) => stored.some((known) => known.name === name));
  return candidates.includes(tip.name) ? { kind: 'redefine', checkpoints: candidates } : null;
}

function follow({ level, domain }: PlanInput, tip: RecordedCheckpoint): CheckpointPlan | Refusal {
  const found = domain.find(({ name }) => name === tip.name);
  const lost = found === undefined;
  const definedAgain = found !== undefined && isDefinedAgain(found);
  if (tip.creationTime === null && !lost) {
    const text =
      `This folder does not tell when ${tip.name} was created (checkpoints/${tip.name}.xml is missing), so whether the ` +
      `VM's checkpoint of this name is the same one cannot be known. Make a full backup into a new folder.`;
    return refusal('IDENTITY_UNKNOWN', text, [tip.name]);
  }
  if (level === 'diff') return { kind: 'diff', create: null, parent: tip, lost, definedAgain, remove: [] };
  const create = checkpointName((ownNumber(tip.name) ?? 0) + 1);
  if (!domain.some(({ name }) => name === create))
    return { kind: 'inc', create, parent: tip, lost, definedAgain, remove: [] };
  const text = `A run that did not end has left the checkpoint ${create}. It is rolled back once the VM runs: start it, or have the backup do that (-S).`;
  return refusal('UNCOMMITTED', text, [create]);
}

function foreignRefusal(names: readonly string[]): Refusal {
  const list = names.join(', ');
  const text =
    `The VM has checkpoints that were not made by a backup of this kind: ${list}. Backups that make checkpoints of their ` +
    'own would mix with them. Delete them (virsh checkpoint-delete), or make a copy.';
  return refusal('FOREIGN', text, names);
}

function refusal(code: CheckpointStoreErrorCode, message: string, checkpoints: readonly string[]): Refusal {
  return { kind: 'refusal', code, message, checkpoints };
}

function when(seconds: number): string {
  const date = new Date(seconds * 1000);
  return Number.isNaN(date.getTime()) ? `at ${seconds}` : `on ${date.toISOString().replace('.000', '')}`;
}

/** Runs of ours say so in the description; the established tool writes the same one into all. */
function maker({ description }: DomainCheckpoint): string {
  if (description?.startsWith('virtnbd run ')) return `a run of virtnbd into another folder (${description})`;
  return description
    ? `another folder or tool (${JSON.stringify(description.slice(0, 200))})`
    : 'another folder or tool';
}
