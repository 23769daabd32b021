import type { BootKind } from './adjustment.ts';

/** What a restore does with the VM's configuration. Without any of it the configuration is copied as it was saved. */
export interface DomainRequest {
  /** Change it so that the restored VM can be defined beside the original. */
  readonly adjust?: boolean;
  /** Define the restored VM; implies `adjust`. */
  readonly define?: boolean;
  /** The restored VM's name; `restore_` before the original's when absent. */
  readonly name?: string;
  /** Name of the configuration's file in the target folder; `vmconfig.xml` for an adjusted one, else as in the backup. */
  readonly configFile?: string;
  /** Have libvirt give the network interfaces new addresses. */
  readonly newMac?: boolean;
  /** Keep raw disks in the configuration that were not restored. */
  readonly keepRaw?: boolean;
  /** Put loader, nvram, kernel and initrd back to where they were, where they are missing. */
  readonly restoreBootFiles?: boolean;
}

/** What became of the VM's configuration. */
export interface RestoredDomain {
  /** Absolute path of the configuration's file. */
  readonly configFile: string;
  /** What was changed in it, each in a few words. */
  readonly changes: readonly string[];
  /** What the person who asked for it should know. */
  readonly warnings: readonly string[];
  readonly bootFiles: readonly { readonly kind: BootKind; readonly path: string }[];
  /** null unless the VM was defined. */
  readonly defined: DefinedDomain | null;
}

export interface DefinedDomain {
  readonly name: string;
  readonly uuid: string;
  readonly autostart: boolean;
  /** The storage pool that was refreshed; null when the target folder is none's. */
  readonly pool: string | null;
  /** The folder with the state of its emulated TPM; null when it has none, or begins anew. */
  readonly tpmState: string | null;
}
