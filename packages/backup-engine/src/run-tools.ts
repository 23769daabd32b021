import type { LibvirtConnection } from '@virtnbd/libvirt-ops';
import type { BackupContext } from './context.ts';
import type { BackupListener } from './events.ts';
import type { StartingWatchdog } from './guest/watchdog.ts';

/** What a run works with. */
export interface RunTools {
  readonly context: BackupContext;
  readonly libvirt: LibvirtConnection;
  /** A connection that is free while a call blocks the first. */
  readonly second: LibvirtConnection;
  readonly signal: AbortSignal;
  readonly tell: BackupListener;
  /** Makes a call that must get through: on `second`, or, when libvirt has gone away meanwhile, on a new connection. */
  onLibvirt<T>(call: (connection: LibvirtConnection) => Promise<T>): Promise<T>;
}

/** What a transaction works with. */
export interface TransactionTools extends RunTools {
  readonly watchdog: StartingWatchdog;
}
