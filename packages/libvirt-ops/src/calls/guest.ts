import type { Out } from '../ffi/signatures.ts';
import { plain, type Session } from './session.ts';

/** What the guest agent does inside the guest. */
export function guestCalls(session: Session) {
  const { libvirt } = session;
  return {
    freeze(uuid: string, mountpoints: readonly string[]): number {
      const list = mountpoints.length === 0 ? null : mountpoints.map(plain);
      return session.withDomain(uuid, (domain) =>
        session.count('virDomainFSFreeze', libvirt.virDomainFSFreeze(domain, list, mountpoints.length, 0)),
      );
    },

    thaw(uuid: string): number {
      return session.withDomain(uuid, (domain) =>
        session.count('virDomainFSThaw', libvirt.virDomainFSThaw(domain, null, 0, 0)),
      );
    },

    /** Milliseconds since 1970 by the guest's clock; the agent is asked. */
    guestTime(uuid: string): number {
      const seconds: Out<number | bigint> = [0];
      const nanoseconds: Out<number> = [0];
      session.withDomain(uuid, (domain) =>
        session.count('virDomainGetTime', libvirt.virDomainGetTime(domain, seconds, nanoseconds, 0)),
      );
      return Number(seconds[0]) * 1000 + Math.floor(nanoseconds[0] / 1_000_000);
    },

    setAgentTimeout(uuid: string, seconds: number): void {
      session.withDomain(uuid, (domain) =>
        session.count('virDomainAgentSetResponseTimeout', libvirt.virDomainAgentSetResponseTimeout(domain, seconds, 0)),
      );
    },
  };
}
