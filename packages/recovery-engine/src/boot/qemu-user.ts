import type { Host } from '@virtnbd/host';
import { parseSecurityModels } from '@virtnbd/libvirt-ops';
import { RecoveryError } from '../errors.ts';

/** Whom qemu runs as: it must reach the socket and the images, and nobody else may. */
export interface QemuUser {
  /** As chown(1) takes it: `+64055:+106`, `libvirt-qemu:kvm`, `nobody`. */
  readonly owner: string;
}

/**
 * The user that libvirt runs qemu as, from its capabilities; null where qemu runs as whoever runs libvirt, which is then
 * taken to be this user.
 *
 * @param capabilities of the connection
 * @param domainType `kvm`, `qemu`
 */
export async function qemuUserOf(capabilities: string, domainType: string): Promise<QemuUser | null> {
  const models = await parseSecurityModels(capabilities);
  const labels = models.find(({ model }) => model === 'dac')?.baseLabels;
  const label = labels?.get(domainType) ?? labels?.values().next().value;
  return label === undefined ? null : { owner: label };
}

/** Gives files and folders to qemu's user. @throws RecoveryError `UNREACHABLE` */
export async function giveTo(host: Host, user: QemuUser | null, ...paths: readonly string[]): Promise<void> {
  if (user === null || paths.length === 0) return;
  try {
    await host.run('chown', ['--', user.owner, ...paths]);
  } catch (cause) {
    const text = `qemu runs as ${user.owner}, and files cannot be given to that user. Run as root, or use a libvirt of your own (qemu:///session).`;
    throw new RecoveryError('UNREACHABLE', text, { cause });
  }
}
