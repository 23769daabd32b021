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

    setAgentTimeout(uuid: string, seconds: number): void {
      session.withDomain(uuid, (domain) =>
        session.count('virDomainAgentSetResponseTimeout', libvirt.virDomainAgentSetResponseTimeout(domain, seconds, 0)),
      );
    },
  };
}
