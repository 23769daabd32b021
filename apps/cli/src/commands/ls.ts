import { resolve } from 'node:path';
import { Args, Flags } from '@oclif/core';
import { BaseCommand, type CommandFlags, type ExitCode, type Session } from '@virtnbd/cli-kit';
import { choiceFlags, pointFlag, scratchFlag } from '../point-flags.ts';

/** `virtnbd ls`: files inside a restore point. */
export default class Ls extends BaseCommand<typeof Ls> {
  static override summary = 'List the files inside a restore point, without restoring it.';
  static override description = [
    'Through libguestfs, which has to be installed: nothing is mounted on this host, volume groups and unclean journals ' +
      'included. Without a path it lists the file systems. Where there are several, one is chosen by --disk and --partition.',
    'Exit codes: 0 listed; 1 it is not there, damaged, or the command failed; 2 wrong usage; 128 + n ended by signal n.',
  ].join('\n\n');
  static override examples = [
    { description: 'which file systems there are', command: '<%= config.bin %> <%= command.id %> /backup/vm1' },
    {
      description: 'a folder, at the newest restore point',
      command: '<%= config.bin %> <%= command.id %> /backup/vm1 /etc --disk vda --partition 1',
    },
    {
      description: 'a logical volume, as it was then',
      command:
        '<%= config.bin %> <%= command.id %> /backup/vm1 /home -l --partition vg0/home --point "2026-11-23 20:00"',
    },
  ];
  static override args = {
    folder: Args.string({ description: 'the backup folder, or zips: a.zip,b.zip', required: true, name: 'FOLDER' }),
    path: Args.string({ description: 'a file or folder inside the guest', name: 'PATH' }),
  };
  static override flags = {
    point: pointFlag,
    ...choiceFlags,
    long: Flags.boolean({ char: 'l', description: 'with kind, mode, owner, size and time' }),
    json: Flags.boolean({ description: 'everything as JSON' }),
    scratchdir: scratchFlag,
  };

  protected override async perform(flags: CommandFlags<typeof Ls>, session: Session): Promise<ExitCode> {
    const { args } = await this.parse(Ls);
    // Loaded here, so that --help does not wait for it.
    const { ls } = await import('../ls.ts');
    const paths = { folder: args.folder, path: args.path, scratchdir: resolve(flags.scratchdir) };
    return await ls({ ...flags, ...paths }, session);
  }
}
