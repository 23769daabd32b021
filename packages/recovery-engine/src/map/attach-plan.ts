import { chooseDevice } from '../device/nbd-devices.ts';
import { type MountPlan, planMount, prepareTarget } from '../mount/mount-disk.ts';
import { readLayout } from '../volumes/layout.ts';
import type { OpenExport } from './open-exports.ts';
import type { Parts } from './parts.ts';
import type { AttachRequest, MapContext } from './request.ts';

/** How a mapping is going to be attached, decided before anything is made. */
export type AttachPlan =
  | { readonly kind: 'device'; readonly device: string }
  | { readonly kind: 'mount'; readonly target: string; readonly mount: MountPlan };

/** Looks at the disk, and at this machine, before anything is made. */
export async function planAttach(
  { disk }: OpenExport,
  attach: AttachRequest | undefined,
  parts: Parts,
  { host, root, onEvent }: MapContext,
): Promise<AttachPlan | undefined> {
  const warn = (message: string) => onEvent?.({ type: 'warning', message });
  if (attach === undefined) return undefined;
  if (attach.kind === 'device') {
    const device = await chooseDevice(host, attach.device);
    const groups = (await readLayout(disk.source)).volumes.filter(({ content }) => content.kind === 'volume-group');
    for (const { content } of groups) warn(volumeGroupWarning(content.label));
    return { kind: 'device', device };
  }
  const mount = await planMount(host, disk.source, { partition: attach.partition, root });
  for (const note of mount.notes) warn(`disk ${disk.disk}: ${note}`);
  const { target, made } = await prepareTarget(host, attach.target);
  if (made) parts.targetMade(target);
  return { kind: 'mount', target, mount };
}

function volumeGroupWarning(group: string): string {
  const which = group === '' ? 'a volume group' : `the volume group ${group}`;
  return (
    `The disk holds a part of ${which}. Where this host activates volume groups by itself it may take it, and confuse it ` +
    `with one of its own of the same name. Deactivate it (vgchange -an ${group || 'GROUP'}) before you end this command; ` +
    '--mount with --partition GROUP/NAME reaches its files without that.'
  );
}
