import { join } from 'node:path';
import type { Host } from '@virtnbd/host';
import { stagedCheckpointName } from '../names.ts';
import type { StoredCheckpoint } from '../records/checkpoint-files.ts';
import { decodeManifest, encodeManifest, type Manifest } from '../records/manifest.ts';
import { manifestPoint } from './manifest-points.ts';
import type { RestorePoint } from './point.ts';

/*
 * A run whose point goes through a pipe leaves only its checkpoint in the folder. The next increment must know what such
 * a point holds (disks, sizes, the VM, the run), so the manifest stands, as a comment that libvirt passes over, at the
 * end of the checkpoint's XML:
 *
 *     </domaincheckpoint>
 *     <!-- virtnbd manifest {…} -->        JSON; each "-" is written \u002d, as XML allows no "--" there
 */
const XML_LIMIT = 4 * 1024 * 1024;
const NOTE = /<!-- virtnbd manifest (\{[\s\S]*?\}) -->\s*$/;

/** The checkpoint's XML with the manifest of a point that lies elsewhere. */
function withManifest(xml: string, manifest: Manifest): string {
  const json = JSON.stringify(JSON.parse(Buffer.from(encodeManifest(manifest)).toString('utf8')));
  return `${xml.trimEnd()}\n<!-- virtnbd manifest ${json.replaceAll('-', '\\u002d')} -->\n`;
}

/** Adds the manifest to the XML that waits for the commit. */
export async function addManifest(host: Host, folder: string, checkpoint: string, manifest: Manifest): Promise<void> {
  const path = join(folder, stagedCheckpointName(checkpoint));
  const xml = Buffer.from(await host.files.readSmall(path, XML_LIMIT)).toString('utf8');
  await host.files.writeAtomic(path, withManifest(xml, manifest), { mode: 0o600 });
}

/** The points that went through a pipe, as the checkpoint folder tells of them; files that tell nothing are passed over. */
export function pipedPoints(stored: readonly StoredCheckpoint[]): RestorePoint[] {
  return stored.flatMap(({ name, xml, file }) => {
    const json = NOTE.exec(xml)?.[1];
    if (json === undefined) return [];
    const manifest = decodeManifest(Buffer.from(json), file);
    if (manifest.point !== name) return [];
    // They were all there when they left; where they are now nobody knows.
    return [manifestPoint(manifest, new Map(manifest.files.map((entry) => [entry.name, entry.size])))];
  });
}
