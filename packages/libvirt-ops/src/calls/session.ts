import { loadLibvirt, silence } from '../ffi/library.ts';
import { lastFailure, NativeFailure } from '../ffi/native-failure.ts';
import type { CheckpointHandle, ConnectHandle, DomainHandle, LibvirtFunctions } from '../ffi/signatures.ts';

/**
 * What the calls of one worker thread share: the library and the connection. Objects are looked up for each call and
 * freed after it, so nothing outlives a call but the connection itself.
 */
export class Session {
  readonly libvirt: LibvirtFunctions;
  #connection: ConnectHandle | null = null;

  constructor() {
    this.libvirt = loadLibvirt();
    silence(this.libvirt);
  }

  get isOpen(): boolean {
    return this.#connection !== null;
  }

  get connection(): ConnectHandle {
    if (this.#connection !== null) return this.#connection;
    throw new NativeFailure({ code: 'CLOSED', call: 'virConnectOpen', message: 'The connection is not open.' });
  }

  set connection(handle: ConnectHandle | null) {
    this.#connection = handle;
  }

  /** The handle or string that a call returned; null means failure. */
  value<T>(call: keyof LibvirtFunctions, result: T | null): T {
    if (result === null) throw lastFailure(this.libvirt, call);
    return result;
  }

  /** The number that a call returned; a negative one means failure. */
  count(call: keyof LibvirtFunctions, result: number): number {
    if (result < 0) throw lastFailure(this.libvirt, call);
    return result;
  }

  withDomain<T>(uuid: string, use: (domain: DomainHandle) => T): T {
    const { libvirt } = this;
    const domain = this.value(
      'virDomainLookupByUUIDString',
      libvirt.virDomainLookupByUUIDString(this.connection, plain(uuid)),
    );
    try {
      return use(domain);
    } finally {
      libvirt.virDomainFree(domain);
    }
  }

  withCheckpoint<T>(uuid: string, name: string, use: (checkpoint: CheckpointHandle) => T): T {
    const { libvirt } = this;
    return this.withDomain(uuid, (domain) => {
      const checkpoint = this.value(
        'virDomainCheckpointLookupByName',
        libvirt.virDomainCheckpointLookupByName(domain, plain(name), 0),
      );
      try {
        return use(checkpoint);
      } finally {
        libvirt.virDomainCheckpointFree(checkpoint);
      }
    });
  }
}

/** A string as C sees it. One with a NUL inside would be cut there, and name something else. */
export function plain(text: string): string {
  if (!text.includes('\0')) return text;
  const shown = JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
  throw new NativeFailure({
    code: 'INVALID_ARG',
    call: '',
    message: `A text for libvirt must not contain a NUL character: ${shown}`,
  });
}

/** The bits of the flags that are set. */
export function flags(...chosen: readonly (readonly [on: boolean | undefined, bit: number])[]): number {
  return chosen.reduce((bits, [on, bit]) => (on ? bits | bit : bits), 0);
}
