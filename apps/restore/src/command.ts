import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { Flags } from '@oclif/core';
import { BaseCommand, type CommandFlags, logfileFlag, type Session } from '@virtnbd/cli-kit';

/** `virtnbdrestore`: flags in, the engine's events out. */
export default class Restore extends BaseCommand<typeof Restore> {
  static override summary = 'Restore disks of a virtual machine from a backup folder.';
  static override description = [
    'For each disk an image is made that holds, byte for byte, what the disk held at the restore point: the newest ' +
      'one, or the one that --until names. Folders of the established virtnbdbackup are restored as well. libvirt is ' +
      'not needed, and no existing file is overwritten.',
    'Exit codes: 0 done and exact; 1 failed, no image is left; 2 wrong usage; 128 + n ended by signal n.',
  ].join('\n\n');
  static override examples = [
    { description: 'the newest state of all disks', command: '<%= config.bin %> -i /backup/vm1 -o /restore/vm1' },
    {
      description: 'an older point',
      command: '<%= config.bin %> -i /backup/vm1 -o /restore/vm1 --until virtnbdbackup.2',
    },
    {
      description: 'as it was on a Monday at noon',
      command: '<%= config.bin %> -i /backup/vm1 -o /restore/vm1 --until "2026-11-23 12:00"',
    },
    { description: 'one disk', command: '<%= config.bin %> -i /backup/vm1 -o /restore/vm1 -d vda' },
  ];
  static override established = ['input', 'output', 'disk', 'until', 'logfile'];
  static override flags = {
    input: Flags.string({
      char: 'i',
      description: 'the backup folder, or zips of virtnbdbackup -o -, which are read in place: full.zip,inc1.zip',
      required: true,
      helpValue: 'DIR',
    }),
    output: Flags.string({ char: 'o', description: 'the folder for the images', required: true, helpValue: 'DIR' }),
    disk: Flags.string({ char: 'd', description: 'only this disk', helpValue: 'vda' }),
    until: Flags.string({
      char: 'u',
      description:
        'the restore point: a checkpoint, copy, the unix time of a differential, latest, or a date or time (the newest ' +
        'point not later than it)',
      default: 'latest',
      helpValue: 'POINT',
    }),
    logfile: logfileFlag(join(homedir(), 'virtnbdrestore.log')),
  };

  protected override async perform(flags: CommandFlags<typeof Restore>, session: Session): Promise<undefined> {
    // Loaded here, so that --help does not wait for it.
    const { restore } = await import('./restore.ts');
    await restore({ ...flags, output: resolve(flags.output) }, session);
    return undefined;
  }
}
