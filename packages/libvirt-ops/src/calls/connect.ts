import { authentication, type Credentials } from '../ffi/authentication.ts';
import type { ConnectHandle, Out } from '../ffi/signatures.ts';
import { plain, type Session } from './session.ts';

export interface OpenRequest {
  readonly uri: string;
  readonly readOnly: boolean;
  readonly credentials?: Credentials;
}

/** Versions as libvirt counts them: major × 1 000 000 + minor × 1000 + release. */
export interface Versions {
  /** The daemon's libvirt. */
  readonly libvirt: number;
  /** The hypervisor (QEMU). */
  readonly hypervisor: number;
  /** The client library loaded here. */
  readonly client: number;
}

/** What libvirt tells guests' capabilities by; null where it shall take its default. */
export interface GuestKind {
  /** The program that runs it: an absolute path. */
  readonly emulator: string | null;
  /** `x86_64`. */
  readonly arch: string | null;
  /** `pc-q35-7.2`. */
  readonly machine: string | null;
  /** `kvm`, `qemu`. */
  readonly type: string | null;
}

const CONNECT_READ_ONLY = 1 << 0;

export function connectCalls(session: Session) {
  const { libvirt } = session;
  return {
    open(request: OpenRequest): void {
      session.connection = open(session, request);
    },

    /** @returns how many references to the connection are left; anything but 0 is a leak */
    close(): number {
      const { connection } = session;
      session.connection = null;
      return session.count('virConnectClose', libvirt.virConnectClose(connection));
    },

    isAlive(): boolean {
      return libvirt.virConnectIsAlive(session.connection) === 1;
    },

    /** It was open, and is not alive: asked after a call failed. */
    isLost(): boolean {
      return session.isOpen && libvirt.virConnectIsAlive(session.connection) !== 1;
    },

    /** The XML about the host and the guests that it can run. */
    capabilities(): string {
      return session.value('virConnectGetCapabilities', libvirt.virConnectGetCapabilities(session.connection));
    },

    /** The XML about what a guest of this kind can have and do; libvirt takes its default for what is null. */
    domainCapabilities({ emulator, arch, machine, type }: GuestKind): string {
      return session.value(
        'virConnectGetDomainCapabilities',
        libvirt.virConnectGetDomainCapabilities(
          session.connection,
          plainOrNull(emulator),
          plainOrNull(arch),
          plainOrNull(machine),
          plainOrNull(type),
          0,
        ),
      );
    },

    /** As libvirt sees it: aliases resolved. */
    uri(): string {
      return session.value('virConnectGetURI', libvirt.virConnectGetURI(session.connection));
    },

    version(): Versions {
      const { connection } = session;
      const daemon: Out<number | bigint> = [0];
      session.count('virConnectGetLibVersion', libvirt.virConnectGetLibVersion(connection, daemon));
      const hypervisor: Out<number | bigint> = [0];
      session.count('virConnectGetVersion', libvirt.virConnectGetVersion(connection, hypervisor));
      const client: Out<number | bigint> = [0];
      session.count('virGetVersion', libvirt.virGetVersion(client, null, null));
      return { libvirt: Number(daemon[0]), hypervisor: Number(hypervisor[0]), client: Number(client[0]) };
    },
  };
}

function plainOrNull(text: string | null): string | null {
  return text === null ? null : plain(text);
}

function open(session: Session, request: OpenRequest): ConnectHandle {
  const { libvirt } = session;
  const uri = plain(request.uri);
  // Also without credentials: only so does libvirt look into an authentication file (?authfile=, auth.conf).
  const answers = authentication(request.credentials ?? {});
  try {
    const flags = request.readOnly ? CONNECT_READ_ONLY : 0;
    return session.value('virConnectOpenAuth', libvirt.virConnectOpenAuth(uri, answers.struct, flags));
  } finally {
    answers.release();
  }
}
