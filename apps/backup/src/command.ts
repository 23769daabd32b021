import { resolve } from 'node:path';
import { Flags } from '@oclif/core';
import {
  BaseCommand,
  type CommandFlags,
  establishedRemoteFlags,
  quietFlag,
  remoteFlags,
  type Session,
  UsageError,
} from '@virtnbd/cli-kit';
import { establishedOperationFlags, modeOf, operationFlags } from './operation-flags.ts';
import { BARE_WAIT, ESTABLISHED_SOURCE_FLAGS, sourceFlags } from './source-flags.ts';

/** `virtnbdbackup`: flags in, the engine's events out. */
export default class Backup extends BaseCommand<typeof Backup> {
  static override summary = 'Back up a virtual machine, whole or what has changed, while it runs.';
  static override description = [
    'The first backup of a VM is a full one: it saves every disk and begins a chain of checkpoints. Each further ' +
      'increment saves what has changed since the one before, into the same folder. A copy stands alone and leaves ' +
      'checkpoints as they are. virtnbdrestore brings any of these points back.',
    'Exit codes: 0 done and exact; 1 failed, nothing half-done counts; 2 wrong usage, or warnings under --strict; ' +
      '128 + n ended by signal n.',
  ].join('\n\n');
  static override examples = [
    { description: 'begin a chain', command: '<%= config.bin %> -d vm1 -l full -o /backup/vm1' },
    { description: 'save what has changed since', command: '<%= config.bin %> -d vm1 -l inc -o /backup/vm1' },
    { description: 'a chain a month', command: '<%= config.bin %> -d vm1 -l auto -o /backup/vm1-2026-11' },
    {
      description: 'a compressed copy without disk vdb',
      command: '<%= config.bin %> -d vm1 -o /backup/vm1-copy -z -x vdb',
    },
    {
      description: 'through a pipe',
      command: "<%= config.bin %> -d vm1 -l full -o - | ssh host 'cat > vm1-full.zip'",
    },
    { description: 'what would happen', command: '<%= config.bin %> -d vm1 -l inc -o /backup/vm1 --dry-run' },
    {
      description: 'an increment only when 64 MiB have changed, at 50 MiB a second',
      command: '<%= config.bin %> -d vm1 -l inc -o /backup/vm1 -T 64M --bwlimit 50M',
    },
    {
      description: 'compare what a restore would give with the disks, a tenth of them',
      command: '<%= config.bin %> -d vm1 -l inc -o /backup/vm1 --prove=10',
    },
    {
      description: 'for programs that read what happens',
      command: '<%= config.bin %> -d vm1 -l inc -o /backup/vm1 --json --quiet',
    },
    { description: 'read the disks by other means', command: '<%= config.bin %> -d vm1 -l copy -o /tmp -s' },
    { description: 'end that', command: '<%= config.bin %> -d vm1 -o /tmp -k' },
    { description: 'a VM of your own user', command: '<%= config.bin %> -U qemu:///session -d vm1 -l full -o ~/vm1' },
  ];
  static override established = [
    ...establishedRemoteFlags,
    ...['domain', 'level', 'output', 'compress', 'worker', 'uri', 'scratchdir', 'socketfile'],
    ...ESTABLISHED_SOURCE_FLAGS,
    ...['freeze-mountpoint', 'strict', 'quiet'],
    ...establishedOperationFlags,
  ];
  static override bareValues = { wait: BARE_WAIT, compress: '2', prove: '100' };
  static override flags = {
    domain: Flags.string({ char: 'd', description: 'name or uuid of the VM', required: true, helpValue: 'VM' }),
    level: Flags.option({
      char: 'l',
      description:
        'full: everything, begins a chain; inc: changes since the last full or inc; diff: the same, and the next inc ' +
        'saves them again; auto: full in an empty folder, then inc; copy: everything, no checkpoint',
      options: ['copy', 'full', 'inc', 'diff', 'auto'] as const,
      default: 'copy',
    })(),
    output: Flags.string({
      char: 'o',
      description:
        'the backup folder; - writes a zip to standard output, and keeps the checkpoints, which the next increment ' +
        'needs, in the folder that you are in',
      required: true,
      helpValue: 'DIR',
    }),
    ...sourceFlags,
    compress: Flags.integer({
      char: 'z',
      description: 'compress with LZ4, at level 1 to 12; from 3 on slower and smaller; 2 without a level',
      helpValue: '[LEVEL]',
      min: 0,
      max: 16,
    }),
    worker: Flags.integer({ char: 'w', description: 'disks saved at the same time', helpValue: 'N', min: 1 }),
    ...remoteFlags,
    'freeze-mountpoint': Flags.string({
      char: 'F',
      description: "the guest's file systems to freeze; all of them by default",
      helpValue: '/mnt,/var',
    }),
    scratchdir: Flags.string({
      description: 'where qemu keeps what the guest overwrites meanwhile',
      default: '/var/tmp',
      helpValue: 'DIR',
    }),
    socketfile: Flags.string({
      char: 'f',
      description: "the job's socket; /var/tmp/virtnbdbackup.PID by default",
      helpValue: 'PATH',
    }),
    ...operationFlags,
    strict: Flags.boolean({ char: 'e', description: 'exit with 2 when there was a warning', helpGroup: 'LOGGING' }),
    quiet: quietFlag,
  };

  protected override async perform(flags: CommandFlags<typeof Backup>, session: Session): Promise<undefined> {
    if (flags.include !== undefined && flags.exclude !== undefined)
      throw new UsageError('-i names the disks to save, -x those not to: give one of them');
    if (flags.type === 'raw' && flags.compress !== undefined)
      throw new UsageError('raw images are not compressed: give -t raw or -z, not both');
    if (flags.type === 'raw' && (flags.level === 'inc' || flags.level === 'diff'))
      throw new UsageError(`a raw image holds no changes: -l ${flags.level} needs -t stream`);
    if (flags.output === '-' && (flags.type === 'raw' || flags.raw))
      throw new UsageError('raw images cannot go through a pipe: with -o - give neither -t raw nor --raw');
    const mode = modeOf(flags);
    // Loaded here, so that --help does not wait for it.
    const { backup } = await import('./backup.ts');
    const output = flags.output === '-' ? '-' : resolve(flags.output);
    await backup({ ...flags, output }, mode, session, {
      name: this.config.bin,
      version: this.config.version,
    });
    return undefined;
  }
}
