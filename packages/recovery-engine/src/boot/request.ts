import type { BackupSet } from '@virtnbd/backup-set';
import type { Host } from '@virtnbd/host';
import type { BlockJobInfo, LibvirtConnection } from '@virtnbd/libvirt-ops';
import type { ServeEvent } from '../serve/events.ts';
import type { QemuUser } from './qemu-user.ts';
import type { NetworkChoice } from './transient-xml.ts';

export interface BootRequest {
  readonly set: BackupSet;
  /** A checkpoint, a date, `latest` … */
  readonly point: string;
  /** Of the new VM; `boot_` and the saved name unless told. */
  readonly name?: string | undefined;
  /** None unless told. */
  readonly network?: NetworkChoice | undefined;
  /** For the socket, and the images of a VM that is thrown away. */
  readonly scratchFolder: string;
  /** For the images of a VM that is to be kept. */
  readonly keepFolder?: string | undefined;
  /** Whom qemu runs as; found out unless told. */
  readonly qemuUser?: QemuUser | undefined;
}

export interface BootContext {
  /** This machine: the VM's qemu reads through a socket here. */
  readonly host: Host;
  readonly uri: string;
  /** Connects to the libvirt at `uri`. */
  readonly connect: () => Promise<LibvirtConnection>;
  readonly onEvent?: ((event: BootEvent) => void) | undefined;
  /** Ends the start, and what waits for the VM; {@link BootedVm.close} cleans up. */
  readonly signal?: AbortSignal | undefined;
}

export type BootEvent =
  | ServeEvent
  /** In what the VM differs from the saved one, a sentence each. */
  | { readonly type: 'changes'; readonly changes: readonly string[] }
  | {
      readonly type: 'running';
      readonly name: string;
      readonly uuid: string;
      /** Command lines that show its console and its screen. */
      readonly consoles: readonly string[];
    }
  | ({ readonly type: 'pull'; readonly disk: string } & BlockJobInfo)
  | { readonly type: 'kept'; readonly name: string; readonly images: readonly string[] };
