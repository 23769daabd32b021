import { resolve } from 'node:path';
import { Args, Flags } from '@oclif/core';
import { BaseCommand, type CommandFlags, type ExitCode, type Session, UsageError } from '@virtnbd/cli-kit';

/** `virtnbd inspect`: what a backup folder or one of its files holds. */
export default class Inspect extends BaseCommand<typeof Inspect> {
  static override summary = 'Show what a backup folder, or one data file of it, holds.';
  static override description = [
    'Of a folder: its restore points, how they build upon each other, their sizes and state, and what each could be ' +
      'restored to. Of a file: its header, statistics of its frames, and a map of the disk. Headers are read, payloads ' +
      'and checksums are not: see the command verify for these.',
    'Exit codes: 0 all in order; 1 something is damaged, or the command failed; 2 wrong usage; 128 + n ended by signal n.',
  ].join('\n\n');
  static override examples = [
    { description: 'the restore points of a folder', command: '<%= config.bin %> <%= command.id %> /backup/vm1' },
    {
      description: 'a page to look at in a browser',
      command: '<%= config.bin %> <%= command.id %> /backup/vm1 --html report.html',
    },
    { description: 'one file', command: '<%= config.bin %> <%= command.id %> /backup/vm1/vda.full.data' },
    {
      description: 'all frames of a file, for other programs',
      command: '<%= config.bin %> <%= command.id %> /backup/vm1/vda.full.data --frames --json',
    },
  ];
  static override args = {
    path: Args.string({
      description: 'a backup folder, zips of one, or a data file',
      required: true,
      name: 'FOLDER|FILE',
    }),
  };
  static override flags = {
    frames: Flags.boolean({ description: 'list every frame of a file' }),
    json: Flags.boolean({ description: 'everything as JSON; SCHEMA.md of @virtnbd/inspect-engine tells the keys' }),
    html: Flags.string({ description: 'write a page about a folder, which needs no network', helpValue: 'FILE' }),
  };

  protected override async perform(flags: CommandFlags<typeof Inspect>, session: Session): Promise<ExitCode> {
    const { args } = await this.parse(Inspect);
    if (flags.html !== undefined && flags.frames) throw new UsageError('--html is of a folder, --frames of a file');
    const html = flags.html === undefined ? undefined : resolve(flags.html);
    // Loaded here, so that --help does not wait for it.
    const { inspect } = await import('../inspect.ts');
    return await inspect({ ...flags, path: args.path, html }, session);
  }
}
