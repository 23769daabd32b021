import { takeAddresses } from '../ffi/arrays.ts';
import { DOMAIN_STATES, DomainCreateFlag, DomainXmlFlag } from '../ffi/flags.ts';
import type { Address, DomainHandle, Out } from '../ffi/signatures.ts';
import { flags, plain, type Session } from './session.ts';

export type DomainState = (typeof DOMAIN_STATES)[number] | 'unknown';

export interface DomainInfo {
  readonly uuid: string;
  readonly name: string;
  /** libvirt's running number of an active domain; null when it is off. */
  readonly id: number | null;
  readonly state: DomainState;
  /** Defined, that is: still there when it is off. */
  readonly persistent: boolean;
  /** It has a running (or paused) process. */
  readonly active: boolean;
}

export interface DomainXmlOptions {
  /** The XML of the next start rather than of the running domain. */
  readonly inactive?: boolean;
  /** With passwords (not on a read-only connection). */
  readonly secure?: boolean;
  /** Without what another libvirt might not know. */
  readonly migratable?: boolean;
}

export interface CreateDomainOptions {
  /** Its processors stand still until `resume`. */
  readonly paused?: boolean;
}

const UUID = /^[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}$/i;
const UUID_BUFFER = 37; // VIR_UUID_STRING_BUFLEN: 36 characters and a NUL
const NO_ID = 0xffff_ffff; // (unsigned int)-1

export function domainCalls(session: Session) {
  const { libvirt } = session;
  return {
    lookup(nameOrUuid: string): DomainInfo {
      return taken(session, find(session, nameOrUuid));
    },

    domainList(): DomainInfo[] {
      const array: Out<Address | null> = [null];
      const count = session.count(
        'virConnectListAllDomains',
        libvirt.virConnectListAllDomains(session.connection, array, 0),
      );
      const domains = takeAddresses<DomainHandle>(array[0], count);
      try {
        return domains.map((domain) => describe(session, domain));
      } finally {
        for (const domain of domains) libvirt.virDomainFree(domain);
      }
    },

    /** Bytes of the guest's disk. @param disk its target */
    diskSize(uuid: string, disk: string): number {
      return session.withDomain(uuid, (domain) => {
        // struct _virDomainBlockInfo: capacity, allocation, physical, each an unsigned long long
        const info = Buffer.alloc(24);
        session.count('virDomainGetBlockInfo', libvirt.virDomainGetBlockInfo(domain, plain(disk), info, 0));
        return Number(info.readBigUInt64LE());
      });
    },

    domainXml(uuid: string, options: DomainXmlOptions): string {
      const bits = flags(
        [options.inactive, DomainXmlFlag.inactive],
        [options.secure, DomainXmlFlag.secure],
        [options.migratable, DomainXmlFlag.migratable],
      );
      return session.withDomain(uuid, (domain) =>
        session.value('virDomainGetXMLDesc', libvirt.virDomainGetXMLDesc(domain, bits)),
      );
    },

    /** Starts a domain that is not defined: it is gone when it ends. */
    createDomain(xml: string, options: CreateDomainOptions): DomainInfo {
      const bits = flags([options.paused, DomainCreateFlag.paused]);
      const domain = session.value(
        'virDomainCreateXML',
        libvirt.virDomainCreateXML(session.connection, plain(xml), bits),
      );
      return taken(session, domain);
    },

    defineDomain(xml: string): DomainInfo {
      const domain = session.value(
        'virDomainDefineXMLFlags',
        libvirt.virDomainDefineXMLFlags(session.connection, plain(xml), 0),
      );
      return taken(session, domain);
    },

    setAutostart(uuid: string, on: boolean): void {
      session.withDomain(uuid, (domain) =>
        session.count('virDomainSetAutostart', libvirt.virDomainSetAutostart(domain, on ? 1 : 0)),
      );
    },

    autostart(uuid: string): boolean {
      const autostart: Out<number> = [0];
      session.withDomain(uuid, (domain) =>
        session.count('virDomainGetAutostart', libvirt.virDomainGetAutostart(domain, autostart)),
      );
      return autostart[0] !== 0;
    },

    suspend(uuid: string): void {
      session.withDomain(uuid, (domain) => session.count('virDomainSuspend', libvirt.virDomainSuspend(domain)));
    },

    resume(uuid: string): void {
      session.withDomain(uuid, (domain) => session.count('virDomainResume', libvirt.virDomainResume(domain)));
    },

    start(uuid: string, options: { readonly paused?: boolean }): void {
      const bits = flags([options.paused, DomainCreateFlag.paused]);
      session.withDomain(uuid, (domain) =>
        session.count('virDomainCreateWithFlags', libvirt.virDomainCreateWithFlags(domain, bits)),
      );
    },

    shutdown(uuid: string): void {
      session.withDomain(uuid, (domain) =>
        session.count('virDomainShutdownFlags', libvirt.virDomainShutdownFlags(domain, 0)),
      );
    },

    destroy(uuid: string): void {
      session.withDomain(uuid, (domain) =>
        session.count('virDomainDestroyFlags', libvirt.virDomainDestroyFlags(domain, 0)),
      );
    },
  };
}

function taken(session: Session, domain: DomainHandle): DomainInfo {
  try {
    return describe(session, domain);
  } finally {
    session.libvirt.virDomainFree(domain);
  }
}

/** By uuid where the text looks like one, then by name: a name may look like a uuid. */
function find(session: Session, nameOrUuid: string): DomainHandle {
  const { libvirt, connection } = session;
  const text = plain(nameOrUuid);
  if (UUID.test(text)) {
    const domain = libvirt.virDomainLookupByUUIDString(connection, text);
    if (domain !== null) return domain;
  }
  return session.value('virDomainLookupByName', libvirt.virDomainLookupByName(connection, text));
}

function describe(session: Session, domain: DomainHandle): DomainInfo {
  const { libvirt } = session;
  const uuid = Buffer.alloc(UUID_BUFFER);
  session.count('virDomainGetUUIDString', libvirt.virDomainGetUUIDString(domain, uuid));
  const state: Out<number> = [0];
  const reason: Out<number> = [0];
  session.count('virDomainGetState', libvirt.virDomainGetState(domain, state, reason, 0));
  const id = libvirt.virDomainGetID(domain);
  return {
    uuid: uuid.toString('latin1', 0, UUID_BUFFER - 1),
    name: session.value('virDomainGetName', libvirt.virDomainGetName(domain)),
    id: id === NO_ID ? null : id,
    state: DOMAIN_STATES[state[0]] ?? 'unknown',
    persistent: session.count('virDomainIsPersistent', libvirt.virDomainIsPersistent(domain)) === 1,
    active: session.count('virDomainIsActive', libvirt.virDomainIsActive(domain)) === 1,
  };
}
