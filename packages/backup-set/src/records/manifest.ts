import { BackupSetError } from '../errors.ts';
import {
  assertSafeName,
  CHECKPOINT_FOLDER,
  checkpointNumber,
  isDiskName,
  isPointId,
  LEVELS,
  type Level,
  parseFileName,
} from '../names.ts';
import { JsonShapeError, type JsonValue, JsonValue as Value } from './checked-json.ts';
import { checkManifest } from './manifest-check.ts';
import { type Proof, readProof } from './proof.ts';

/** A checkpoint is known by both: names are used again by every new chain. */
export interface CheckpointIdentity {
  name: string;
  /** Seconds since 1970, as libvirt says. */
  creationTime: number;
}

export interface DomainIdentity {
  name: string;
  uuid: string;
}

export interface Writer {
  name: string;
  version: string;
}

/** What a restore point consists of (MANIFEST.md). */
export interface Manifest {
  point: string;
  level: Level;
  /** When the point was taken, ISO 8601. */
  created: string;
  writer: Writer;
  domain: DomainIdentity;
  /** The checkpoint that the point created; null for copy and diff. */
  checkpoint: CheckpointIdentity | null;
  /** The point that this one follows; null for full and copy. */
  parent: string | null;
  /** The checkpoint that the parent point created, as the run found it. */
  parentCheckpoint: CheckpointIdentity | null;
  /** The run that made the point, which the checkpoint's description names: `runDescription`. */
  run?: string;
  disks: readonly ManifestDisk[];
  files: readonly ManifestFile[];
  /** That the restored view of the point was compared with the VM's disks while the run could still read them. */
  proof?: Proof;
  /** Raw images that lay in the folder before our first point: they have no header and no manifest of their own. */
  adopted?: readonly AdoptedFile[];
}

export interface ManifestDisk {
  disk: string;
  file: string;
  kind: 'stream' | 'raw';
  /** True when the file holds the whole disk: full, copy, and a whole backup in mid-chain. */
  base: boolean;
  /** Bytes. */
  virtualSize: number;
  /** Format of the source image (`qcow2`, `raw`). */
  format: string;
  /** Base name of the source image; null when it has none. A restored image gets this name. */
  imageName: string | null;
  /** Paths of the source image and of those that it is based on, on the hypervisor's host: whether a later one is the same disk. */
  images?: readonly string[];
  /** What the stream file's header says; null for a raw image. */
  header: { checkpointName: string; parentCheckpoint: string } | null;
}

export const FILE_ROLES = [
  'stream',
  'raw',
  'chunks',
  'adler32',
  'domain-xml',
  'image-info',
  'checkpoint-xml',
  'boot',
  'autostart',
  'guest-info',
  'recovery-key',
  'tpm-state',
] as const;
export type FileRole = (typeof FILE_ROLES)[number];

/** Data files (`stream`, `raw`) are checked by their chunks, all others by their sha256. */
export interface ManifestFile {
  name: string;
  role: FileRole;
  /** Bytes. */
  size: number;
  /** 64 lower-case hex digits. */
  sha256?: string;
  adler32?: number;
  chunks?: { name: string; sha256: string };
}

export interface AdoptedFile {
  name: string;
  /** Bytes. */
  size: number;
}

export const MANIFEST_LIMIT = 4 * 1024 * 1024;
const FORMAT = 'virtnbd-restore-point';
const VERSION = 1;
const MAX_DISKS = 1024;
/** Images in a backing chain; libvirt stops at 200. */
const MAX_IMAGES = 1024;
const RUN = /^[0-9a-f]{32}$/;
const MAX_FILES = 16 * 1024;
const SHA256 = /^[0-9a-f]{64}$/;
const ISO_DATE = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?$/;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/**
 * The manifest as the bytes of its file. It is checked as one that is read.
 *
 * @throws BackupSetError `BAD_MANIFEST`
 */
export function encodeManifest(manifest: Manifest): Uint8Array {
  const bytes = Buffer.from(`${JSON.stringify({ format: FORMAT, version: VERSION, ...manifest }, null, 2)}\n`);
  decodeManifest(bytes, `${manifest.point}.manifest.json`);
  return bytes;
}

/**
 * Reads a manifest; whatever is not exactly as MANIFEST.md says is refused.
 *
 * @param file the name for messages
 * @throws BackupSetError `BAD_MANIFEST`
 */
export function decodeManifest(bytes: Uint8Array, file: string): Manifest {
  try {
    if (bytes.length > MANIFEST_LIMIT) throw new JsonShapeError(`it is larger than ${MANIFEST_LIMIT} bytes`);
    const manifest = readManifest(Value.parse(bytes));
    checkManifest(manifest);
    return manifest;
  } catch (cause) {
    if (!(cause instanceof JsonShapeError) && !(cause instanceof BackupSetError)) throw cause;
    const text = `The manifest ${file} cannot be used: ${cause.message}. Restore the file from another copy of the folder.`;
    throw new BackupSetError('BAD_MANIFEST', text, { file, cause });
  }
}

const KEYS = 'format version point level created writer domain checkpoint parent parentCheckpoint disks files'.split(
  ' ',
);

function readManifest(value: JsonValue): Manifest {
  const fields = value.object(KEYS, ['adopted', 'run', 'proof']);
  fields.get('format').oneOf([FORMAT]);
  if (fields.get('version').count() !== VERSION) {
    throw new JsonShapeError(`it is of version ${fields.get('version').count()}, and only ${VERSION} is known here`);
  }
  const adopted = fields.optional('adopted', (list) => list.list(MAX_DISKS, readAdopted));
  const run = fields.optional('run', (id) => id.match(RUN, '32 hex digits'));
  const proof = fields.optional('proof', readProof);
  return {
    point: readPoint(fields.get('point')),
    level: fields.get('level').oneOf(LEVELS),
    created: fields.get('created').match(ISO_DATE, 'a date as in ISO 8601'),
    writer: readWriter(fields.get('writer')),
    domain: readDomain(fields.get('domain')),
    checkpoint: fields.get('checkpoint').nullOr(readCheckpointIdentity),
    parent: fields.get('parent').nullOr(readPoint),
    parentCheckpoint: fields.get('parentCheckpoint').nullOr(readCheckpointIdentity),
    disks: fields.get('disks').list(MAX_DISKS, readDisk),
    files: fields.get('files').list(MAX_FILES, readFile),
    ...(adopted === undefined ? {} : { adopted }),
    ...(run === undefined ? {} : { run }),
    ...(proof === undefined ? {} : { proof }),
  };
}

/** A restore point's id. */
export function readPoint(value: JsonValue): string {
  const id = value.text();
  if (!isPointId(id)) throw value.refuse('a checkpoint name virtnbdbackup.N, copy, or a unix time');
  return id;
}

export function readCheckpointIdentity(value: JsonValue): CheckpointIdentity {
  const fields = value.object(['name', 'creationTime']);
  return { name: readCheckpointName(fields.get('name')), creationTime: fields.get('creationTime').count() };
}

export function readCheckpointName(value: JsonValue): string {
  const name = value.text();
  if (checkpointNumber(name) === null) throw value.refuse('a checkpoint name virtnbdbackup.N');
  return name;
}

export function readDomain(value: JsonValue): DomainIdentity {
  const fields = value.object(['name', 'uuid']);
  return { name: fields.get('name').text(), uuid: fields.get('uuid').match(UUID, 'a uuid in lower case') };
}

/** The name of a file in the folder itself. */
export function readName(value: JsonValue): string {
  return assertSafeName(value.text());
}

export function readAdopted(value: JsonValue): AdoptedFile {
  const fields = value.object(['name', 'size']);
  const name = readName(fields.get('name'));
  if (parseFileName(name)?.kind !== 'data') throw value.refuse('a data file');
  return { name, size: fields.get('size').count() };
}

function readWriter(value: JsonValue): Writer {
  const fields = value.object(['name', 'version']);
  return { name: fields.get('name').text(64), version: fields.get('version').text(64) };
}

function readDisk(value: JsonValue): ManifestDisk {
  const keys = ['disk', 'file', 'kind', 'base', 'virtualSize', 'format', 'imageName', 'header'];
  const fields = value.object(keys, ['images']);
  const images = fields.optional('images', (paths) => paths.list(MAX_IMAGES, (path) => path.text(4096)));
  const disk = fields.get('disk').text();
  if (!isDiskName(disk)) throw fields.get('disk').refuse('the name of a disk');
  return {
    disk,
    file: readName(fields.get('file')),
    kind: fields.get('kind').oneOf(['stream', 'raw']),
    base: fields.get('base').flag(),
    virtualSize: fields.get('virtualSize').count(),
    format: fields.get('format').match(/^[A-Za-z0-9_-]{1,32}$/, 'the name of an image format'),
    imageName: fields.get('imageName').nullOr(readName),
    header: fields.get('header').nullOr((header) => {
      const inner = header.object(['checkpointName', 'parentCheckpoint']);
      return {
        checkpointName: inner.get('checkpointName').text(),
        parentCheckpoint: inner.get('parentCheckpoint').text(),
      };
    }),
    ...(images === undefined ? {} : { images }),
  };
}

function readFile(value: JsonValue): ManifestFile {
  const fields = value.object(['name', 'role', 'size'], ['sha256', 'adler32', 'chunks']);
  const role = fields.get('role').oneOf(FILE_ROLES);
  const sha256 = fields.optional('sha256', (digest) => digest.match(SHA256, 'a sha256'));
  const adler32 = fields.optional('adler32', (sum) => sum.count(0xffffffff));
  const chunks = fields.optional('chunks', (inner) => {
    const parts = inner.object(['name', 'sha256']);
    return { name: readName(parts.get('name')), sha256: parts.get('sha256').match(SHA256, 'a sha256') };
  });
  const data = role === 'stream' || role === 'raw';
  if (data !== (chunks !== undefined)) throw value.refuse('with chunks for a data file and without for any other');
  if (data === (sha256 !== undefined)) throw value.refuse('with a sha256 unless it is a data file');
  if ((role === 'stream') !== (adler32 !== undefined)) throw value.refuse('with an adler32 for a stream file only');
  return {
    name: readFileName(fields.get('name'), role),
    role,
    size: fields.get('size').count(),
    ...(sha256 === undefined ? {} : { sha256 }),
    ...(adler32 === undefined ? {} : { adler32 }),
    ...(chunks === undefined ? {} : { chunks }),
  };
}

/** Only a checkpoint's XML lies in a folder of its own. */
function readFileName(value: JsonValue, role: FileRole): string {
  const prefix = `${CHECKPOINT_FOLDER}/`;
  const text = value.text();
  if (role !== 'checkpoint-xml') return assertSafeName(text);
  const name = text.startsWith(prefix) && text.endsWith('.xml') ? text.slice(prefix.length, -'.xml'.length) : '';
  if (checkpointNumber(name) === null) throw value.refuse(`the path ${prefix}virtnbdbackup.N.xml`);
  return text;
}
