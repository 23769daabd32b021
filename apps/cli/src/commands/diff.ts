import { Args, Flags } from '@oclif/core';
import { BaseCommand, type CommandFlags, type ExitCode, type Session } from '@virtnbd/cli-kit';

/** `virtnbd diff`: where two restore points differ. */
export default class Diff extends BaseCommand<typeof Diff> {
  static override summary = 'Show where the disks of two restore points differ.';
  static override description = [
    'From the headers alone, at once: ranges that were saved in between, and so may differ; all others are equal. With ' +
      '--content those ranges are read at both points, checksums verified, and only what really differs is shown, in ' +
      'blocks of 4 KiB. A point is named by a checkpoint, copy, the unix time of a differential, latest, or a date or time ' +
      '(the newest point not later than it).',
    'Exit codes: 0 compared, whether or not there are differences; 1 damaged, or the command failed; 2 wrong usage; ' +
      '128 + n ended by signal n.',
  ].join('\n\n');
  static override examples = [
    {
      description: 'what an increment may have changed',
      command: '<%= config.bin %> <%= command.id %> /backup/vm1 virtnbdbackup.0 virtnbdbackup.1',
    },
    {
      description: 'what has really changed on one disk since the full',
      command: '<%= config.bin %> <%= command.id %> /backup/vm1 virtnbdbackup.0 latest --content --disk vda',
    },
  ];
  static override args = {
    folder: Args.string({ description: 'the backup folder, or zips: a.zip,b.zip', required: true, name: 'FOLDER' }),
    from: Args.string({ description: 'the one restore point', required: true, name: 'P1' }),
    to: Args.string({ description: 'the other one', required: true, name: 'P2' }),
  };
  static override flags = {
    content: Flags.boolean({ description: 'read and compare what may differ' }),
    disk: Flags.string({ char: 'd', description: 'only this disk', helpValue: 'vda' }),
    json: Flags.boolean({ description: 'everything as JSON; SCHEMA.md of @virtnbd/inspect-engine tells the keys' }),
  };

  protected override async perform(flags: CommandFlags<typeof Diff>, session: Session): Promise<ExitCode> {
    const { args } = await this.parse(Diff);
    // Loaded here, so that --help does not wait for it.
    const { diff } = await import('../diff.ts');
    return await diff({ ...flags, folder: args.folder, from: args.from, to: args.to }, session);
  }
}
