import { element, escapeXml } from './build.ts';
import { badXml, type XmlElement } from './element.ts';
import { parseXml } from './parse.ts';

export interface CheckpointXmlInput {
  readonly name: string;
  readonly description?: string;
  readonly disks: readonly { readonly target: string; readonly checkpoint: boolean }[];
}

/**
 * The XML of a new checkpoint (libvirt.org/formatcheckpoint.html); bitmaps get the checkpoint's name.
 *
 * @throws LibvirtError INVALID_ARG when a name has a character that XML cannot carry
 */
export function buildCheckpointXml(input: CheckpointXmlInput): string {
  return element(
    'domaincheckpoint',
    {},
    element('name', {}, escapeXml(input.name)),
    ...(input.description === undefined ? [] : [element('description', {}, escapeXml(input.description))]),
    element(
      'disks',
      {},
      ...input.disks.map((disk) =>
        element('disk', { name: disk.target, checkpoint: disk.checkpoint ? 'bitmap' : 'no' }),
      ),
    ),
  );
}

export interface CheckpointDescription {
  readonly name: string;
  readonly description: string | null;
  readonly parent: string | null;
  /** Seconds since 1970, UTC. */
  readonly creationTime: number;
  /** From the domain's part, which is there unless the XML was made without it. */
  readonly domainUuid: string | null;
  readonly disks: readonly CheckpointDisk[];
}

export interface CheckpointDisk {
  readonly target: string;
  readonly checkpoint: boolean;
  readonly bitmap: string | null;
  /** Bytes dirty since the checkpoint; null unless the XML was asked for with sizes. */
  readonly size: number | null;
}

/** Reads the XML of a checkpoint, as libvirt gives it. @throws LibvirtError BAD_XML */
export async function parseCheckpoint(xml: string): Promise<CheckpointDescription> {
  const root = await parseXml(xml, 'domaincheckpoint', 'The checkpoint XML');
  const name = root.textOf('name');
  if (name === undefined || name === '') throw badXml('The checkpoint XML has no <name>');
  const time = integer(root.textOf('creationTime'));
  if (time === null) throw badXml(`The XML of checkpoint '${name}' has no valid <creationTime>`);
  return {
    name,
    description: root.textOf('description') ?? null,
    parent: root.child('parent')?.textOf('name') ?? null,
    creationTime: time,
    domainUuid: root.child('domain')?.textOf('uuid') ?? null,
    disks: (root.child('disks')?.all('disk') ?? []).map(describeDisk),
  };
}

function describeDisk(disk: XmlElement): CheckpointDisk {
  return {
    target: disk.attribute('name') ?? '',
    checkpoint: disk.attribute('checkpoint') === 'bitmap',
    bitmap: disk.attribute('bitmap') ?? null,
    size: integer(disk.attribute('size')),
  };
}

/** A decimal number that is exact in JavaScript; null for anything else. */
function integer(text: string | undefined): number | null {
  if (text === undefined || !/^\s*\d+\s*$/.test(text)) return null;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : null;
}
