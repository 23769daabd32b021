import { TestKitError } from '../errors.ts';
import type { AttachedDisk } from './disk-writer.ts';
import type { DiskBus } from './domain-xml.ts';

export interface LiveDisk extends AttachedDisk {
  readonly target: string;
  /** null for a volume, which the XML names by its pool, on a network, and for a drive without a medium. */
  readonly path: string | null;
  readonly format: string;
}

/** Disks with an alias, as libvirt prints them for an active VM. */
export function disksOf(xml: string): Map<string, LiveDisk> {
  const disks = new Map<string, LiveDisk>();
  for (const [, body = ''] of xml.matchAll(
    /<disk type='(?:file|block|volume|network)' device='disk'[^>]*>(.*?)<\/disk>/gs,
  )) {
    const own = body.replace(/<backingStore.*<\/backingStore>/s, '');
    const target = /<target dev='([^']*)' bus='([^']*)'/.exec(own);
    const path = /<source (?:file|dev)='([^']*)'/.exec(own)?.[1];
    if (target?.[1] === undefined) continue;
    disks.set(target[1], {
      target: target[1],
      bus: target[2] as DiskBus,
      alias: /<alias name='([^']*)'/.exec(own)?.[1] ?? '',
      path: path === undefined ? null : unescapeXml(path),
      format: /<driver [^>]*type='([^']*)'/.exec(own)?.[1] ?? 'raw',
    });
  }
  return disks;
}

export function identityOf(xml: string): { name: string; uuid: string } {
  const name = /<name>([^<]*)<\/name>/.exec(xml)?.[1];
  const uuid = /<uuid>([^<]*)<\/uuid>/.exec(xml)?.[1];
  if (name === undefined || uuid === undefined) throw new TestKitError('DAEMON', `No name and uuid in ${xml}`);
  return { name: unescapeXml(name), uuid };
}

function unescapeXml(text: string): string {
  const named: Record<string, string> = { lt: '<', gt: '>', quot: '"', apos: "'", amp: '&' };
  return text.replace(/&(lt|gt|quot|apos|amp);/g, (whole, name: string) => named[name] ?? whole);
}
