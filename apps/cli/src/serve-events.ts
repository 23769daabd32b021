import { formatBytes, type Session } from '@virtnbd/cli-kit';
import type { ServeEvent } from '@virtnbd/recovery-engine';

/** Tells of damage, failures and files without checksums. */
export function serveListener({ log }: Pick<Session, 'log'>): (event: ServeEvent) => void {
  return (event) => {
    switch (event.type) {
      case 'note':
        return log.warn(`${event.exportName}: ${event.message}`);
      case 'damage':
        return log.error(`${event.error.message} (${formatBytes(event.length)} asked for)`);
      case 'failure':
        return log.error(`${event.exportName}: ${event.command} failed: ${String(event.error)}`);
      default:
        return;
    }
  };
}
