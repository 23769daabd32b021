import type { Address, Out } from '../ffi/signatures.ts';
import { readTypedParameters } from '../ffi/typed-parameters.ts';
import { plain, type Session } from './session.ts';

/** What the agent tells, by libvirt's names: `os.id`, `fs.0.mountpoint` … A count past 2^53 is a bigint. */
export type GuestInfo = Readonly<Record<string, string | number | bigint | boolean>>;

const ALL_TYPES = 0;

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

    guestInfo(uuid: string): GuestInfo {
      const params: Out<Address | null> = [null];
      const count: Out<number> = [0];
      return session.withDomain(uuid, (domain) => {
        session.count('virDomainGetGuestInfo', libvirt.virDomainGetGuestInfo(domain, ALL_TYPES, params, count, 0));
        const [address] = params;
        const values = Object.fromEntries(readTypedParameters(address, count[0]));
        if (address !== null) libvirt.virTypedParamsFree(address, count[0]);
        return values;
      });
    },

    agentCommand(uuid: string, command: string, seconds: number): string {
      return session.withDomain(uuid, (domain) =>
        session.value(
          'virDomainQemuAgentCommand',
          libvirt.virDomainQemuAgentCommand(domain, plain(command), seconds, 0),
        ),
      );
    },
  };
}
