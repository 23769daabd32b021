import { Args, Flags } from '@oclif/core';
import { BaseCommand, type CommandFlags, type ExitCode, type Session } from '@virtnbd/cli-kit';

/** `virtnbd verify`: every checksum of a backup folder. */
export default class Verify extends BaseCommand<typeof Verify> {
  static override summary = 'Read a backup folder and compare every checksum.';
  static override description = [
    'Tells what is damaged: which ranges of which files, where that is on the disk, and which restore points it spoils. ' +
      'Nothing is written. What has no checksum is not verifiable, and counts as a failure.',
    'Exit codes: 0 all is as it was written; 1 damaged, not verifiable, or the command failed; 2 wrong usage; 128 + n ' +
      'ended by signal n.',
  ].join('\n\n');
  static override examples = [
    { description: 'all restore points', command: '<%= config.bin %> <%= command.id %> /backup/vm1' },
    {
      description: 'one point and what it needs, every frame decoded',
      command: '<%= config.bin %> <%= command.id %> /backup/vm1 --until virtnbdbackup.2 --deep',
    },
    {
      description: 'four files at a time, for other programs',
      command: '<%= config.bin %> <%= command.id %> /backup/vm1 --jobs 4 --json',
    },
  ];
  static override args = {
    folder: Args.string({ description: 'the backup folder, or zips: a.zip,b.zip', required: true, name: 'FOLDER' }),
  };
  static override flags = {
    until: Flags.string({
      description:
        'only this point and what it needs: a checkpoint, copy, the unix time of a differential, latest, or a date or time ' +
        '(the newest point not later than it)',
      helpValue: 'POINT',
    }),
    deep: Flags.boolean({ description: 'decode every compressed frame, too' }),
    jobs: Flags.integer({
      description: 'files that are read at the same time',
      helpValue: 'N',
      min: 1,
      max: 64,
      default: 2,
    }),
    json: Flags.boolean({ description: 'everything as JSON; SCHEMA.md of @virtnbd/inspect-engine tells the keys' }),
  };

  protected override async perform(flags: CommandFlags<typeof Verify>, session: Session): Promise<ExitCode> {
    const { args } = await this.parse(Verify);
    // Loaded here, so that --help does not wait for it.
    const { verify } = await import('../verify.ts');
    return await verify({ ...flags, folder: args.folder }, session);
  }
}
