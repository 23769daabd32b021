import { resolve } from 'node:path';
import { Args, Flags } from '@oclif/core';
import { BaseCommand, type CommandFlags, type ExitCode, type Session, UsageError } from '@virtnbd/cli-kit';
import { choiceFlags, pointFlag, scratchFlag } from '../point-flags.ts';

/** `virtnbd cp`: files out of a restore point. */
export default class Cp extends BaseCommand<typeof Cp> {
  static override summary = 'Copy files out of a restore point, without restoring it.';
  static override description = [
    'Through libguestfs, which has to be installed: nothing is mounted on this host. Permissions and times are taken over, ' +
      'setuid and setgid are not; with -r links stay links. Every byte is checked against the checksums of the backup. Nothing ' +
      'is written outside of DEST, whatever the files are called, and nothing is replaced without --force.',
    'Exit codes: 0 all was copied; 1 something was not, or the command failed; 2 wrong usage; 128 + n ended by signal n.',
  ].join('\n\n');
  static override examples = [
    {
      description: 'one file',
      command: '<%= config.bin %> <%= command.id %> /backup/vm1 /etc/passwd . --disk vda --partition 1',
    },
    {
      description: 'a folder from a logical volume, with its owners',
      command: '<%= config.bin %> <%= command.id %> /backup/vm1 -r /home/anna /restore --partition vg0/home --owner',
    },
    {
      description: 'several, as they were at a restore point',
      command: '<%= config.bin %> <%= command.id %> /backup/vm1 /etc/fstab /etc/hosts /restore --point virtnbdbackup.3',
    },
  ];
  static override strict = false;
  static override usage = 'cp FOLDER SRC... DEST [options]';
  static override args = {
    folder: Args.string({ description: 'the backup folder, or zips: a.zip,b.zip', required: true, name: 'FOLDER' }),
    source: Args.string({ description: 'files or folders inside the guest', required: true, name: 'SRC' }),
    target: Args.string({ description: 'a folder, or for one source its new name', required: true, name: 'DEST' }),
  };
  static override flags = {
    point: pointFlag,
    ...choiceFlags,
    recursive: Flags.boolean({ char: 'r', description: 'folders, with all that is in them' }),
    force: Flags.boolean({ char: 'f', description: 'replace files that are there' }),
    owner: Flags.boolean({ description: 'take over the numbers of user and group; as root' }),
    scratchdir: scratchFlag,
  };

  protected override async perform(flags: CommandFlags<typeof Cp>, session: Session): Promise<ExitCode> {
    const { argv } = await this.parse(Cp);
    const words = argv.map(String);
    const [folder = '', ...sources] = words;
    const target = sources.pop();
    if (target === undefined || sources.length === 0) throw new UsageError('FOLDER, SRC and DEST are needed');
    // Loaded here, so that --help does not wait for it.
    const { cp } = await import('../cp.ts');
    const paths = { folder, sources, target: resolve(target), scratchdir: resolve(flags.scratchdir) };
    return await cp({ ...flags, ...paths }, session);
  }
}
