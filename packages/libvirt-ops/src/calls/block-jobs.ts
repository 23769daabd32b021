import { plain, type Session } from './session.ts';

/** A job of one disk of a running domain: a pull or a copy. */
export interface BlockJobInfo {
  /** Bytes done, of `end`; both grow while the guest writes. */
  readonly current: number;
  readonly end: number;
}

// struct _virDomainBlockJobInfo: 32 bytes
//   0  int type                    virDomainBlockJobType
//   8  unsigned long bandwidth     MiB/s
//  16  unsigned long long cur
//  24  unsigned long long end
const INFO_SIZE = 32;
const CURRENT_AT = 16;
const END_AT = 24;

export function blockJobCalls(session: Session) {
  const { libvirt } = session;
  return {
    blockPull(uuid: string, disk: string): void {
      session.withDomain(uuid, (domain) =>
        session.count('virDomainBlockPull', libvirt.virDomainBlockPull(domain, plain(disk), 0, 0)),
      );
    },

    /** null when the disk has no job. */
    blockJobInfo(uuid: string, disk: string): BlockJobInfo | null {
      const info = Buffer.alloc(INFO_SIZE);
      const found = session.withDomain(uuid, (domain) =>
        session.count('virDomainGetBlockJobInfo', libvirt.virDomainGetBlockJobInfo(domain, plain(disk), info, 0)),
      );
      if (found === 0) return null;
      return { current: Number(info.readBigUInt64LE(CURRENT_AT)), end: Number(info.readBigUInt64LE(END_AT)) };
    },

    abortBlockJob(uuid: string, disk: string): void {
      session.withDomain(uuid, (domain) =>
        session.count('virDomainBlockJobAbort', libvirt.virDomainBlockJobAbort(domain, plain(disk), 0)),
      );
    },
  };
}
