import type { Session } from './session.ts';
import { receiveAll, withStream } from './streams.ts';

export interface Screenshot {
  /** `image/png` since libvirt 8.8 with QEMU 7.1, `image/x-portable-pixmap` before. */
  readonly type: string;
  readonly data: Uint8Array;
}

/** More than a screen of 8K takes: 7680 × 4320 pixels of 3 bytes are 100 MB. */
const MAX_SIZE = 256 * 1024 * 1024;

export function screenCalls(session: Session) {
  const { libvirt } = session;
  return {
    screenshot(uuid: string): Screenshot {
      return session.withDomain(uuid, (domain) =>
        withStream(session, (stream) => {
          const type = session.value('virDomainScreenshot', libvirt.virDomainScreenshot(domain, stream, 0, 0));
          return { type, data: receiveAll(session, stream, 'the screenshot', MAX_SIZE) };
        }),
      );
    },
  };
}
