import { isAbsolute, resolve } from 'node:path';
import { hypervisorOptions, type Logger, type RemoteFlags, readPassword, UsageError } from '@virtnbd/cli-kit';
import type { Host, LocalHost } from '@virtnbd/host';
import { Hypervisor } from '@virtnbd/hypervisor';
import type { LibvirtConnection } from '@virtnbd/libvirt-ops';

/** Where a restore makes images, and the libvirt that defines the VM. */
export interface RestoreTarget extends AsyncDisposable {
  readonly host: Host;
  /** The folder for the images, absolute there. */
  readonly folder: string;
  readonly libvirt: LibvirtConnection | null;
  /** Aborted when the way there is gone. */
  readonly lost: AbortSignal;
}

/**
 * The host of the libvirt that is named: images are made where the VM will run. A URI from the environment alone moves no
 * images to another host; together with --define it does.
 *
 * @throws UsageError for a libvirt whose host's files are not reached
 */
export async function openTarget(
  flags: RemoteFlags & { readonly output: string },
  local: LocalHost,
  { define, log, signal }: { define: boolean; log: Logger; signal: AbortSignal },
): Promise<RestoreTarget> {
  const named = flags.uri !== undefined && flags.uri !== process.env.LIBVIRT_DEFAULT_URI;
  if (!named && !define) return localTarget(flags.output, local);
  const password = await readPassword(flags, { files: local.files, log, signal });
  const hypervisor = await Hypervisor.open({ ...hypervisorOptions(flags, password), signal });
  try {
    const { host, lost } = hypervisor;
    if (host === null)
      throw new UsageError(`-U ${flags.uri}: only libvirt's daemon is reached there, no files; restore with qemu+ssh`);
    if (host.name !== '') {
      if (!isAbsolute(flags.output))
        throw new UsageError(`-o ${flags.output}: name an absolute folder of ${host.name}`);
      log.info(`images are made on ${host.name}`);
    }
    const libvirt = define ? await hypervisor.connect() : null;
    const close = async (): Promise<void> => {
      await libvirt?.close();
      await hypervisor.close();
    };
    return { host, folder: resolve(flags.output), libvirt, lost, [Symbol.asyncDispose]: close };
  } catch (error) {
    await hypervisor.close();
    throw error;
  }
}

function localTarget(output: string, host: LocalHost): RestoreTarget {
  const lost = new AbortController().signal;
  return { host, folder: resolve(output), libvirt: null, lost, [Symbol.asyncDispose]: async () => undefined };
}
