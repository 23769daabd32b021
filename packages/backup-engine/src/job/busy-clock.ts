import { LibvirtError } from '@virtnbd/libvirt-ops';

/** Times that a job is begun before its failure counts. */
const ATTEMPTS = 10;

/**
 * Begins a job whose scratch images are encrypted. QEMU measures how long a key takes it, and fails when the clock of its
 * thread shows no time, as it may on a busy host (QEMU 7.2); libvirt has taken all back by then, so it is begun once more.
 */
export async function inSpiteOfBusyClock(begin: () => Promise<void>): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await begin();
    } catch (error) {
      const busy = error instanceof LibvirtError && /accurate CPU usage/i.test(error.message);
      if (!busy || attempt === ATTEMPTS) throw error;
    }
  }
}
