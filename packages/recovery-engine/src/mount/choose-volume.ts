import { RecoveryError } from '../errors.ts';
import type { DiskLayout, Volume } from '../volumes/layout.ts';

/** What is to be mounted. */
export type MountChoice =
  | { readonly kind: 'volume'; readonly volume: Volume }
  /** By its device in the guest, `/dev/GROUP/NAME`. */
  | { readonly kind: 'logical-volume'; readonly device: string };

const MIB = 1024 * 1024;

/**
 * The one file system of a disk, or the one that is asked for.
 *
 * @param wanted number of a partition, or `GROUP/NAME` of a logical volume
 * @throws RecoveryError `CHOOSE_PARTITION`, `UNKNOWN_PARTITION`; the message lists what there is
 */
export function chooseVolume({ volumes }: DiskLayout, wanted?: string): MountChoice {
  if (wanted?.includes('/')) return logicalVolume(volumes, wanted);
  if (wanted !== undefined) return { kind: 'volume', volume: numbered(volumes, wanted) };
  const mountable = volumes.filter(isMountable);
  const [only] = mountable;
  const groups = volumes.filter(({ content }) => content.kind === 'volume-group');
  if (only !== undefined && mountable.length === 1 && groups.length === 0) return { kind: 'volume', volume: only };
  const what =
    mountable.length === 0 && groups.length === 0
      ? 'The disk holds no file system that could be mounted. It holds'
      : 'The disk holds more than one thing that could be mounted; name the partition';
  throw new RecoveryError('CHOOSE_PARTITION', `${what}:${listing(volumes)}`);
}

function numbered(volumes: readonly Volume[], wanted: string): Volume {
  const found = volumes.find(({ partition }) => String(partition?.number) === wanted);
  if (found === undefined) {
    const text = `The disk has no partition ${wanted}. It holds:${listing(volumes)}`;
    throw new RecoveryError('UNKNOWN_PARTITION', text);
  }
  if (isMountable(found)) return found;
  throw new RecoveryError('UNKNOWN_PARTITION', `There is no file system to mount in:${listing([found])}`);
}

/** One word each: no options for the programs that get them, no way out of /dev. */
const LOGICAL_VOLUME = /^(?:\/dev\/)?([\w+.][\w+.-]*)\/([\w+.][\w+.-]*)$/;

function logicalVolume(volumes: readonly Volume[], wanted: string): MountChoice {
  const [, group = '', name = ''] = LOGICAL_VOLUME.exec(wanted) ?? [];
  const dots = [group, name].some((word) => word === '.' || word === '..');
  if (name === '' || dots) {
    throw new RecoveryError('UNKNOWN_PARTITION', `${wanted} names no logical volume: GROUP/NAME is expected.`);
  }
  const known = volumes.filter(({ content }) => content.kind === 'volume-group');
  if (known.some(({ content: { label } }) => label === group || label === '')) {
    return { kind: 'logical-volume', device: `/dev/${group}/${name}` };
  }
  const text = `The disk holds no part of a volume group ${group}. It holds:${listing(volumes)}`;
  throw new RecoveryError('UNKNOWN_PARTITION', text);
}

function isMountable({ content }: Volume): boolean {
  return content.kind === 'filesystem';
}

function listing(volumes: readonly Volume[]): string {
  if (volumes.length === 0) return '\npartitions: none';
  return volumes.map((volume) => `\n${describeVolume(volume)}`).join('');
}

/** `partition 2, 511 MiB, ext4 "root"`; of a volume group also how to get at what is in it. */
export function describeVolume({ partition, length, content }: Volume): string {
  const where = partition === null ? 'whole disk' : `partition ${partition.number}`;
  const label = content.label === '' ? '' : ` "${content.label}"`;
  const hint =
    content.kind === 'volume-group' ? ` (name a logical volume: --partition ${content.label || 'GROUP'}/NAME)` : '';
  return `${where}, ${Math.floor(length / MIB)} MiB, ${content.type || 'nothing known'}${label}${hint}`;
}
