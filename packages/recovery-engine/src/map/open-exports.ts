import { BackupSet } from '@virtnbd/backup-set';
import { RecoveryError } from '../errors.ts';
import type { DiskAtPoint } from '../serve/disk-at-point.ts';
import { openFileChain } from '../serve/file-chain.ts';
import { folderExports } from '../serve/folder-exports.ts';
import type { ExportRequest } from '../serve/server.ts';
import type { MapContext, MapRequest } from './request.ts';

/** An export whose disk is open. */
export type OpenExport = ExportRequest & { readonly disk: DiskAtPoint };

export interface Exports {
  readonly chosen: readonly OpenExport[];
  readonly others: readonly ExportRequest[];
}

/** Opens what is to be served. Who calls it closes the disks of `chosen`. */
export async function openExports(request: MapRequest, context: MapContext): Promise<Exports> {
  const { host, signal, onProgress } = context;
  const options = { ...(signal !== undefined && { signal }), ...(onProgress !== undefined && { onProgress }) };
  const { disks, exportName } = request;
  if (disks.kind === 'files') {
    const disk = await openFileChain(host, disks.files, options);
    const description = `disk ${disk.disk} at ${disk.point}`;
    return { chosen: [{ name: exportName ?? disk.disk, description, disk }], others: [] };
  }
  const set = await BackupSet.open(host, disks.folder);
  const only = disks.disk === undefined ? undefined : [disks.disk];
  const { chosen, others } = await folderExports(set, disks.point, { ...options, disks: only });
  const [first] = chosen;
  const named = exportName !== undefined && first !== undefined ? [{ ...first, name: exportName }] : chosen;
  const single = exportName !== undefined || request.attach !== undefined || request.overlay?.kind === 'kept';
  if (!single || chosen.length === 1) return { chosen: named, others };
  for (const { disk } of chosen) await disk[Symbol.asyncDispose]();
  const names = chosen.map(({ name }) => name).join(', ');
  throw new RecoveryError('USAGE', `The restore point has several disks (${names}), and this is for one: name it.`);
}
