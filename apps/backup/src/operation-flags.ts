import { Flags } from '@oclif/core';
import { parseBytes, UsageError } from '@virtnbd/cli-kit';

/** An amount of bytes, `10M`. */
const bytes = Flags.custom<number>({
  parse: async (input) => {
    const amount = parseBytes(input);
    if (amount === undefined) throw new UsageError(`"${input}" is no number of bytes; write 1048576, 64K, 10M or 1G`);
    return amount;
  },
});

/** Flags that do something else than a backup. */
const modeFlags = {
  'dry-run': Flags.boolean({
    description: 'check everything and tell what a backup would do; change nothing, and make no folder',
    helpGroup: 'INSTEAD OF A BACKUP',
  }),
  printonly: Flags.boolean({
    char: 'p',
    description: 'print how many bytes a backup would save, to standard output',
    helpGroup: 'INSTEAD OF A BACKUP',
  }),
  startonly: Flags.boolean({
    char: 's',
    description: 'begin a backup job, print the NBD URI of each disk to standard output and leave it; -k ends it',
    helpGroup: 'INSTEAD OF A BACKUP',
  }),
  killonly: Flags.boolean({
    char: 'k',
    description: "end the VM's backup job, whoever began it, and no other job",
    helpGroup: 'INSTEAD OF A BACKUP',
  }),
};

/** How a backup goes on while it runs. */
export const operationFlags = {
  ...modeFlags,
  threshold: bytes({
    char: 'T',
    description: 'make no increment when fewer bytes than this have changed',
    helpValue: 'BYTES',
  }),
  prove: Flags.integer({
    description:
      'before the backup counts, read back what a restore would give and compare it with the disks: all, or PERCENT of it',
    helpValue: '[PERCENT]',
    min: 1,
    max: 100,
  }),
  'no-sparse-detection': Flags.boolean({
    description: 'save ranges that have become zero as data, so that the established restore is exact, too',
  }),
  bwlimit: bytes({ description: 'read at most this many bytes a second, as in 10M', helpValue: 'RATE' }),
  qemu: Flags.boolean({ char: 'q', description: 'ask nbdinfo for the extents of the disks' }),
  force: Flags.boolean({ description: 'go on where too little space is free' }),
  json: Flags.boolean({
    description: 'tell what happens as JSON lines on standard output',
    helpGroup: 'LOGGING',
  }),
  syslog: Flags.boolean({ char: 'L', description: "log to the system's log, too", helpGroup: 'LOGGING' }),
};

/** Those of the established command. */
export const establishedOperationFlags = [
  ...['threshold', 'printonly', 'startonly', 'killonly', 'no-sparse-detection', 'qemu', 'syslog'],
];

interface ModeValues {
  readonly output: string;
  readonly 'dry-run': boolean;
  readonly printonly: boolean;
  readonly startonly: boolean;
  readonly killonly: boolean;
  readonly json: boolean;
  readonly prove: number | undefined;
  readonly bwlimit: number | undefined;
}

export type Mode = 'backup' | keyof typeof modeFlags;

/** What is asked for. @throws UsageError for options that exclude each other */
export function modeOf(flags: ModeValues): Mode {
  const chosen = (['dry-run', 'printonly', 'startonly', 'killonly'] as const).filter((name) => flags[name]);
  if (chosen.length > 1) throw new UsageError(`give one of these: ${chosen.map((name) => `--${name}`).join(', ')}`);
  if (flags.output === '-' && flags.json)
    throw new UsageError('standard output takes the backup or JSON lines: give -o - or --json, not both');
  if (flags.output === '-' && flags.prove !== undefined)
    throw new UsageError('what has gone through a pipe cannot be read back: --prove needs a folder');
  if (flags.bwlimit === 0) throw new UsageError('a rate of 0 bytes a second would never end: leave out --bwlimit');
  return chosen[0] ?? 'backup';
}
