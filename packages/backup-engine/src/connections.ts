import type { LibvirtConnection } from '@virtnbd/libvirt-ops';
import type { BackupContext } from './context.ts';

/** Two connections, so that the guest can be thawed and the job ended while a call blocks the first. */
export class Connections implements AsyncDisposable {
  readonly libvirt: LibvirtConnection;
  readonly second: LibvirtConnection;

  private constructor(libvirt: LibvirtConnection, second: LibvirtConnection) {
    this.libvirt = libvirt;
    this.second = second;
  }

  /** Makes both at the same time. Rejects as the first one that fails; then neither stays. */
  static async open(context: BackupContext): Promise<Connections> {
    const opening = [context.connect(), context.connect()] as const;
    try {
      return new Connections(...(await Promise.all(opening)));
    } catch (error) {
      for (const result of await Promise.allSettled(opening)) {
        if (result.status === 'fulfilled') await result.value.close();
      }
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.second.close();
    } finally {
      await this.libvirt.close();
    }
  }
}
