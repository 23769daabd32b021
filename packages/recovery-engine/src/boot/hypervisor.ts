import { setTimeout as sleep } from 'node:timers/promises';
import { type DomainInfo, type LibvirtConnection, LibvirtError } from '@virtnbd/libvirt-ops';

/** Milliseconds that a daemon may be away, and between two attempts to reach it. */
const PATIENCE = 30_000;
const PAUSE = 500;

/** A connection that is made again when the daemon was restarted: VMs go on meanwhile. */
export class Hypervisor implements AsyncDisposable {
  readonly #connect: () => Promise<LibvirtConnection>;
  #libvirt: LibvirtConnection | undefined;

  constructor(connect: () => Promise<LibvirtConnection>) {
    this.#connect = connect;
  }

  /** Makes a call; again, on a new connection, where the connection was lost. Only for calls that may be made twice. */
  async ask<T>(call: (libvirt: LibvirtConnection) => Promise<T>): Promise<T> {
    const end = performance.now() + PATIENCE;
    for (;;) {
      try {
        return await call(await this.connection());
      } catch (error) {
        const lost = error instanceof LibvirtError && (error.code === 'CONNECT' || error.code === 'CLOSED');
        if (!lost || performance.now() > end) throw error;
        await this.#libvirt?.close();
        this.#libvirt = undefined;
        await sleep(PAUSE);
      }
    }
  }

  async connection(): Promise<LibvirtConnection> {
    this.#libvirt ??= await this.#connect();
    return this.#libvirt;
  }

  /** null when there is no such domain (any more). */
  async lookup(uuid: string): Promise<DomainInfo | null> {
    try {
      return await this.ask((libvirt) => libvirt.lookup(uuid));
    } catch (error) {
      if (error instanceof LibvirtError && error.code === 'NO_DOMAIN') return null;
      throw error;
    }
  }

  /** Ends a domain; nothing to do when it has ended. */
  async destroy(uuid: string): Promise<void> {
    try {
      await this.ask((libvirt) => libvirt.destroy(uuid));
    } catch (error) {
      const gone = error instanceof LibvirtError && (error.code === 'NO_DOMAIN' || error.code === 'OPERATION_INVALID');
      if (!gone) throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#libvirt?.close();
  }
}
