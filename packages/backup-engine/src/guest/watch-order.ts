import type { ConnectionAddress } from '@virtnbd/libvirt-ops';

/** What a watchdog is told once. It goes through a pipe: the address may hold a password. */
export interface WatchOrder {
  readonly address: ConnectionAddress;
  readonly uuid: string;
  /** Milliseconds after which it thaws although the run lives. */
  readonly deadlineMs: number;
  /** libvirt's wait for the agent, to be set back after a thaw, in libvirt's numbers. */
  readonly agentTimeout: number;
  /** The VM was paused, not its guest frozen: it is to go on rather than be thawed. */
  readonly pause: boolean;
}
