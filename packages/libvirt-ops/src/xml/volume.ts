import { badXml } from './element.ts';
import { parseXml } from './parse.ts';

export interface VolumeDescription {
  readonly name: string;
  /** `file`, `block`, `dir`, `network` …: what kind of thing the pool keeps it as. */
  readonly type: string;
  /** The file or block device; of a volume on the network a name that means something there only. */
  readonly path: string;
}

/** Reads a storage volume's XML. @throws LibvirtError BAD_XML */
export async function parseVolume(xml: string): Promise<VolumeDescription> {
  const root = await parseXml(xml, 'volume', 'The storage volume XML');
  const path = root.child('target')?.textOf('path');
  if (path === undefined || path === '') throw badXml('The storage volume XML has no <target><path>');
  return { name: root.textOf('name') ?? '', type: root.attribute('type') ?? 'file', path };
}
