import { join } from 'node:path';
import { type Host, HostError } from '@virtnbd/host';
import { BackupSetError } from '../errors.ts';
import { isPointId, verdictName } from '../names.ts';
import { JsonShapeError, JsonValue } from './checked-json.ts';
import type { Writer } from './manifest.ts';

/** What a test boot of a restore point found (VERDICT.md). */
export interface BootVerdict {
  /** When the test ended, ISO 8601. */
  at: string;
  passed: boolean;
  /** `agent`: the guest's agent had to answer; `screen`: the screen had to come to rest. */
  sign: 'agent' | 'screen';
  /** From the start of the VM to the verdict. */
  seconds: number;
  /** A sentence. */
  message: string;
  writer: Writer;
}

/** What was found out about a restore point after it was made. */
export interface PointVerdict {
  point: string;
  boot: BootVerdict;
}

const FORMAT = 'virtnbd-verdict';
const VERSION = 1;
const LIMIT = 64 * 1024;
const ISO_DATE = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/;

/**
 * Records a verdict beside the manifest of its point, in the place of an earlier one. The point itself is not touched.
 *
 * @throws BackupSetError `BAD_NAME` for a point that has no name of its own (an offline increment of the established tool);
 *   HostError
 */
export async function writeVerdict(host: Host, folder: string, verdict: PointVerdict): Promise<void> {
  const text = `${JSON.stringify({ format: FORMAT, version: VERSION, ...verdict }, null, 2)}\n`;
  await host.files.writeAtomic(join(folder, verdictName(verdict.point)), text);
}

/** The recorded verdict; null when there is none. @throws BackupSetError `BAD_VERDICT`; HostError */
export async function readVerdict(host: Host, folder: string, point: string): Promise<PointVerdict | null> {
  if (!isPointId(point)) return null;
  const name = verdictName(point);
  try {
    return decodeVerdict(await host.files.readSmall(join(folder, name), LIMIT), point);
  } catch (cause) {
    if (cause instanceof HostError && cause.code === 'NOT_FOUND') return null;
    const unusable = cause instanceof JsonShapeError || (cause instanceof HostError && cause.code === 'TOO_LARGE');
    if (!unusable) throw cause;
    const text = `The verdict ${name} cannot be used: ${cause.message}. Remove the file, or test the point again.`;
    throw new BackupSetError('BAD_VERDICT', text, { file: name, point, cause });
  }
}

function decodeVerdict(bytes: Uint8Array, point: string): PointVerdict {
  const fields = JsonValue.parse(bytes).object(['format', 'version', 'point', 'boot']);
  fields.get('format').oneOf([FORMAT]);
  if (fields.get('version').count() !== VERSION) throw new JsonShapeError(`only version ${VERSION} is known here`);
  fields.get('point').oneOf([point]);
  const boot = fields.get('boot').object(['at', 'passed', 'sign', 'seconds', 'message', 'writer']);
  const writer = boot.get('writer').object(['name', 'version']);
  return {
    point,
    boot: {
      at: boot.get('at').match(ISO_DATE, 'a date as in ISO 8601, UTC'),
      passed: boot.get('passed').flag(),
      sign: boot.get('sign').oneOf(['agent', 'screen']),
      seconds: boot.get('seconds').count(),
      message: boot.get('message').text(4096),
      writer: { name: writer.get('name').text(64), version: writer.get('version').text(64) },
    },
  };
}
