import { EditableXml, type LibvirtConnection, LibvirtError, parseCheckpoint } from '@virtnbd/libvirt-ops';
import { CheckpointStoreError } from './errors.ts';
import { childrenFirst, DEFINED_AGAIN, type DomainCheckpoint, ownNumber } from './identity.ts';

/** What this package needs of a connection to libvirt. */
export type CheckpointConnection = Pick<
  LibvirtConnection,
  'checkpoints' | 'checkpointXml' | 'createCheckpoint' | 'deleteCheckpoint'
>;

export interface RunOptions {
  signal?: AbortSignal;
}

/** A bitmap is gone, or was not stored in good order. */
const BITMAP_BROKEN = 'CHECKPOINT_INCONSISTENT';
const VM_IS_OFF: readonly string[] = ['OPERATION_UNSUPPORTED', 'OPERATION_INVALID'];
/** What a libvirt says that does not know REDEFINE_VALIDATE, or cannot do it for this VM (one that is off). */
const CANNOT_VALIDATE: readonly string[] = [
  'INVALID_ARG',
  'ARGUMENT_UNSUPPORTED',
  'NO_SUPPORT',
  'OPERATION_UNSUPPORTED',
  'OPERATION_INVALID',
  'CONFIG_UNSUPPORTED',
];

/** The VM's checkpoints with their descriptions, parents before children. */
export async function readCheckpoints(connection: CheckpointConnection, uuid: string): Promise<DomainCheckpoint[]> {
  const found: DomainCheckpoint[] = [];
  for (const { name, parent, creationTime, xml } of await connection.checkpoints(uuid)) {
    const { description } = await parseCheckpoint(xml);
    found.push({ name, parent, creationTime, description });
  }
  return found;
}

export interface Removal {
  removed: readonly string[];
  /** Of these the bitmap was gone or broken on some disk. */
  broken: readonly string[];
}

/**
 * Removes every checkpoint of our kind, children first; those of other names stay. The chain that they belonged to has
 * then ended.
 *
 * On abort or failure those removed so far are gone.
 *
 * @throws CheckpointStoreError `DOMAIN_OFF`; LibvirtError
 */
export async function removeChain(
  connection: CheckpointConnection,
  uuid: string,
  options: RunOptions = {},
): Promise<Removal> {
  const own = (await readCheckpoints(connection, uuid)).filter(({ name }) => ownNumber(name) !== null);
  const removed: string[] = [];
  const broken: string[] = [];
  for (const name of childrenFirst(own)) {
    options.signal?.throwIfAborted();
    const how = await deleteOne(connection, uuid, name);
    if (how === 'absent') continue;
    removed.push(name);
    if (how === 'broken') broken.push(name);
  }
  return { removed, broken };
}

/** The checkpoint of a run that did not come to its commit. */
export interface Uncommitted {
  name: string;
  /** What the run gave as the checkpoint's description, unlike any other's. */
  description: string;
}

/**
 * What became of it:
 *
 * - `deleted`: it was there and is gone; libvirt has merged its bitmap into the parent's, so that nothing is lost.
 * - `broken`: it is gone, too, but on some disk its bitmap was so before. libvirt 7 and newer go on recording in the
 *   parent's bitmap, so nothing is lost there either; an older one does not: the next backup has to be a full.
 * - `absent`: it had not been made.
 * - `not-ours`: a checkpoint of this name is there, made by somebody else since; it stays. Nothing is left to do.
 * - `waiting`: the VM is off. It must be tried again when the VM runs; until then nothing may take its name.
 */
export type RollBack = 'deleted' | 'broken' | 'absent' | 'not-ours' | 'waiting';

/** Deletes the checkpoint of a run that did not come to its commit, if it is really that run's. */
export async function rollBack(
  connection: CheckpointConnection,
  uuid: string,
  uncommitted: Uncommitted,
): Promise<RollBack> {
  const { name, description } = uncommitted;
  const found = (await readCheckpoints(connection, uuid)).find((checkpoint) => checkpoint.name === name);
  if (found === undefined) return 'absent';
  if (found.description !== description) return 'not-ours';
  try {
    return await deleteOne(connection, uuid, name);
  } catch (error) {
    if (error instanceof CheckpointStoreError && error.code === 'DOMAIN_OFF') return 'waiting';
    throw error;
  }
}

async function deleteOne(
  connection: CheckpointConnection,
  uuid: string,
  name: string,
): Promise<'deleted' | 'broken' | 'absent'> {
  try {
    await connection.deleteCheckpoint(uuid, name);
    return 'deleted';
  } catch (error) {
    if (!(error instanceof LibvirtError)) throw error;
    if (error.code === 'NO_DOMAIN_CHECKPOINT') return 'absent';
    if (VM_IS_OFF.includes(error.code)) {
      const text = `libvirt cannot delete the checkpoint ${name} of a VM that is off. Start the VM and try again.`;
      throw new CheckpointStoreError('DOMAIN_OFF', text, { checkpoints: [name], cause: error });
    }
    // For a bitmap that is gone libvirt 9.0 says INTERNAL_ERROR, as for anything: so look whether it is that.
    if ((await checkBitmaps(connection, uuid, name)) !== 'broken') throw error;
  }
  await deleteBroken(connection, uuid, name);
  return 'broken';
}

/**
 * Whether libvirt finds the bitmaps of a checkpoint usable, on every disk that it covers. `unknown`: this libvirt, or a VM
 * that is off, does not tell. Needs a VM that runs, changes nothing.
 *
 * @throws LibvirtError NO_DOMAIN_CHECKPOINT …
 */
export async function checkBitmaps(
  connection: CheckpointConnection,
  uuid: string,
  name: string,
): Promise<'usable' | 'broken' | 'unknown'> {
  const found = (await connection.checkpoints(uuid)).find((checkpoint) => checkpoint.name === name);
  if (found === undefined) throw new LibvirtError('NO_DOMAIN_CHECKPOINT', `The VM has no checkpoint ${name}`);
  // Redefining a checkpoint as it is, with a look at the bitmaps.
  const state = await validate(connection, uuid, found.xml);
  return state === 'valid' ? 'usable' : state;
}

async function validate(
  connection: CheckpointConnection,
  uuid: string,
  xml: string,
): Promise<'valid' | 'broken' | 'unknown'> {
  try {
    await connection.createCheckpoint(uuid, xml, { redefine: true, redefineValidate: true });
    return 'valid';
  } catch (error) {
    if (!(error instanceof LibvirtError)) throw error;
    if (error.code === BITMAP_BROKEN) return 'broken';
    if (CANNOT_VALIDATE.includes(error.code)) return 'unknown';
    throw error;
  }
}

/**
 * The disks on which libvirt can tell what has changed since the checkpoint: their bitmaps are there and in good order.
 * Needs a VM that runs; changes nothing.
 *
 * @throws LibvirtError NO_DOMAIN_CHECKPOINT …
 */
export async function trackedDisks(connection: CheckpointConnection, uuid: string, name: string): Promise<Set<string>> {
  // libvirt gives the size of what has changed for just these.
  const { disks } = await parseCheckpoint(await connection.checkpointXml(uuid, name, { size: true, noDomain: true }));
  return new Set(disks.filter(({ size }) => size !== null).map(({ target }) => target));
}

/**
 * libvirt deletes a checkpoint whose bitmap is gone on one disk from its records only, and the bitmaps of the other disks
 * stay behind: in the way of the next chain, which uses the same names. So the checkpoint is redefined for each disk
 * alone; where that succeeds the bitmap is there, and is deleted (merged into the parent's) with it.
 */
async function deleteBroken(connection: CheckpointConnection, uuid: string, name: string): Promise<void> {
  const found = (await connection.checkpoints(uuid)).find((checkpoint) => checkpoint.name === name);
  await connection.deleteCheckpoint(uuid, name, { metadataOnly: true });
  const { disks } = found === undefined ? { disks: [] } : await parseCheckpoint(found.xml);
  for (const { target, checkpoint, bitmap } of disks) {
    if (!checkpoint || found === undefined) continue;
    const xml = singleDiskXml(found, target, bitmap ?? name);
    if ((await validate(connection, uuid, xml)) === 'valid') await connection.deleteCheckpoint(uuid, name);
  }
}

function singleDiskXml(of: DomainCheckpoint, target: string, bitmap: string): string {
  const parent = of.parent === null ? '' : `<parent><name>${escapeXml(of.parent)}</name></parent>`;
  const disk = `<disk name="${escapeXml(target)}" checkpoint="bitmap" bitmap="${escapeXml(bitmap)}"/>`;
  const head = `<name>${escapeXml(of.name)}</name>${parent}<creationTime>${of.creationTime}</creationTime>`;
  return `<domaincheckpoint>${head}<disks>${disk}</disks></domaincheckpoint>`;
}

function escapeXml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

/**
 * Deletes bitmaps named like checkpoints of ours that libvirt knows nothing of (the VM was undefined, cloned or moved):
 * each is defined as a checkpoint and deleted as one. They would be in the way of a new chain, which uses the same names.
 *
 * @param strays by disk's target, the names of the bitmaps in its image
 * @returns the names that are gone; needs a VM that runs
 * @throws LibvirtError
 */
export async function removeStrayBitmaps(
  connection: CheckpointConnection,
  uuid: string,
  strays: ReadonlyMap<string, readonly string[]>,
): Promise<string[]> {
  const known = new Set((await connection.checkpoints(uuid)).map(({ name }) => name));
  const removed = new Set<string>();
  for (const [target, bitmaps] of strays) {
    for (const name of bitmaps) {
      if (known.has(name) || ownNumber(name) === null) continue;
      const xml = singleDiskXml({ name, parent: null, creationTime: 0 }, target, name);
      if ((await validate(connection, uuid, xml)) !== 'valid')
        await connection.createCheckpoint(uuid, xml, { redefine: true });
      await deleteStray(connection, uuid, name);
      removed.add(name);
    }
  }
  return [...removed];
}

/** The bitmap goes with the checkpoint, a broken one too; where the image has it no more, only the record goes. */
async function deleteStray(connection: CheckpointConnection, uuid: string, name: string): Promise<void> {
  try {
    await connection.deleteCheckpoint(uuid, name);
  } catch (error) {
    if (!(error instanceof LibvirtError) || VM_IS_OFF.includes(error.code)) throw error;
    await connection.deleteCheckpoint(uuid, name, { metadataOnly: true });
  }
}

export interface Redefined {
  redefined: readonly string[];
  /** Whether libvirt has found every bitmap; if not, `trackedDisks` tells which are there. */
  validated: boolean;
  /** The first that could not be redefined, and why: the ones after it were not tried. */
  failed: { name: string; error: LibvirtError } | null;
}

/**
 * Tells libvirt of checkpoints that it has forgotten (the VM was undefined, moved, or restored in place) and whose
 * bitmaps are still in the images. Ones that it knows are passed over. Their descriptions say so from then on: another
 * chain may have used the names again meanwhile, and nothing in a bitmap tells whose it is.
 *
 * @param checkpoints parents first, with the XML that libvirt once gave
 * @throws LibvirtError when the connection or the VM is gone
 */
export async function redefineMissing(
  connection: CheckpointConnection,
  uuid: string,
  checkpoints: readonly { name: string; xml: string }[],
  options: RunOptions = {},
): Promise<Redefined> {
  const present = new Set((await connection.checkpoints(uuid)).map(({ name }) => name));
  const redefined: string[] = [];
  let validated = true;
  for (const { name, xml } of checkpoints) {
    if (present.has(name)) continue;
    options.signal?.throwIfAborted();
    try {
      validated = (await redefine(connection, uuid, marked(xml))) && validated;
    } catch (error) {
      if (!(error instanceof LibvirtError) || error.code === 'NO_DOMAIN') throw error;
      return { redefined, validated, failed: { name, error } };
    }
    redefined.push(name);
  }
  return { redefined, validated, failed: null };
}

/** The XML with a description that tells that the checkpoint was defined again: `isDefinedAgain`. */
function marked(xml: string): string {
  const document = EditableXml.parse(xml, 'domaincheckpoint', 'The checkpoint XML');
  const name = document.root.child('name');
  const description = document.root.child('description');
  if (description === undefined)
    document.root.insert({ name: 'description', text: DEFINED_AGAIN }, name && { after: name });
  else if (!description.text.endsWith(DEFINED_AGAIN)) description.setText(`${description.text} ${DEFINED_AGAIN}`);
  return document.toString();
}

/** Says whether all bitmaps are there. Where one is not, the others may still be of use: `trackedDisks` tells. */
async function redefine(connection: CheckpointConnection, uuid: string, xml: string): Promise<boolean> {
  try {
    await connection.createCheckpoint(uuid, xml, { redefine: true, redefineValidate: true });
    return true;
  } catch (error) {
    if (!(error instanceof LibvirtError)) throw error;
    if (error.code !== BITMAP_BROKEN && !CANNOT_VALIDATE.includes(error.code)) throw error;
    await connection.createCheckpoint(uuid, xml, { redefine: true });
    return false;
  }
}
