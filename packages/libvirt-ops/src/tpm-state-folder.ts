import { join } from 'node:path';
import type { DomainDescription } from './xml/domain.ts';

/**
 * Where libvirt keeps the state of a domain's emulated TPM.
 *
 * @param uri of the libvirt that has the domain: one of a user has a folder of that user's
 */
export function tpmStateFolder(
  { tpmStateFolder: named }: Pick<DomainDescription, 'tpmStateFolder'>,
  uuid: string,
  uri: string,
  env: NodeJS.ProcessEnv,
): string {
  if (named !== undefined) return named;
  if (!/^[^?]*\/session(\?|$)/.test(uri)) return `/var/lib/libvirt/swtpm/${uuid}`;
  const configuration = env.XDG_CONFIG_HOME || join(env.HOME ?? '/', '.config');
  return join(configuration, 'libvirt/qemu/swtpm', uuid);
}
