/** The named steps of a run, in order; `transaction.ts` says what holds after each. */
export const STEPS = [
  'connected',
  'locked',
  'recovered',
  'planned',
  'intent-written',
  'old-chain-removed',
  'job-begun',
  'copying',
  'copied',
  'proven',
  'sealed',
  'committed',
  'job-ended',
  'recorded',
  'finished',
] as const;

export type BackupStep = (typeof STEPS)[number];

/** What a run tells while it goes on. Sizes are in bytes. */
export type BackupEvent =
  | { readonly type: 'step'; readonly step: BackupStep }
  | { readonly type: 'info' | 'warning'; readonly message: string }
  | { readonly type: 'frozen'; readonly fileSystems: number }
  | {
      /** From the moment that the freeze was asked for until the guest's agent had thawed, milliseconds. */
      readonly type: 'thawed';
      readonly frozenMs: number;
    }
  | {
      /** A disk's extents are known: `dataBytes` will be read, `zeroBytes` are known to be zero. */
      readonly type: 'disk';
      readonly disk: string;
      readonly virtualSize: number;
      readonly dataBytes: number;
      readonly zeroBytes: number;
    }
  | { readonly type: 'proving'; readonly disk: string; readonly bytes: number }
  | { readonly type: 'proven'; readonly bytes: number; readonly percent: number }
  | { readonly type: 'progress'; readonly disk: string; readonly bytes: number }
  | { readonly type: 'disk-done'; readonly disk: string; readonly file: string; readonly fileSize: number };

export type BackupListener = (event: BackupEvent) => void;
