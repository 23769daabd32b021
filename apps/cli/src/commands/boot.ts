import { resolve } from 'node:path';
import { Args, Flags } from '@oclif/core';
import { BaseCommand, type CommandFlags, type ExitCode, type Session, UsageError } from '@virtnbd/cli-kit';
import { pointFlag } from '../point-flags.ts';

/** `virtnbd boot`: a restore point as a running VM. */
export default class Boot extends BaseCommand<typeof Boot> {
  static override summary = 'Run a VM straight from a restore point.';
  static override description = [
    'The VM starts at once, whatever its size: it reads from the backup, and what it writes goes to images of its own. It is ' +
      'another VM than the saved one (name, uuid, addresses), has no network unless asked for, and reaches nothing of this host. ' +
      'It lasts until it shuts down or this command is ended; then nothing of it is left. With --keep its blocks are moved to ' +
      'local images while it runs, and it stays. With --check it is a restore test, for cron: boot, wait for a sign of life, ' +
      'record the verdict beside the restore point, end.',
    'Exit codes: 0 it ended by itself, was kept, or passed the check; 1 it did not, or the command failed; 2 wrong usage; ' +
      '128 + n ended by signal n.',
  ].join('\n\n');
  static override examples = [
    { description: 'the newest restore point', command: '<%= config.bin %> <%= command.id %> /backup/vm1' },
    {
      description: 'how it was before last night, into the network for tests',
      command: '<%= config.bin %> <%= command.id %> /backup/vm1 --point "2026-11-23 20:00" --network isolated',
    },
    {
      description: 'up again at once, and to stay',
      command:
        '<%= config.bin %> <%= command.id %> /backup/vm1 --keep /var/lib/libvirt/images/vm1 --name vm1-again --network',
    },
    { description: 'a restore test', command: '<%= config.bin %> <%= command.id %> /backup/vm1 --check --timeout 600' },
  ];
  static override args = {
    folder: Args.string({ description: 'the backup folder, or zips: a.zip,b.zip', required: true, name: 'FOLDER' }),
  };
  static override bareValues = { network: '' };
  static override flags = {
    point: pointFlag,
    uri: Flags.string({
      char: 'U',
      description: 'a libvirt on this host; qemu:///system as root, qemu:///session otherwise',
      env: 'LIBVIRT_DEFAULT_URI',
    }),
    name: Flags.string({
      char: 'N',
      description: 'of the new VM; boot_ and the saved name by default',
      helpValue: 'NAME',
    }),
    network: Flags.string({
      description:
        'connect it: to this network of libvirt, or without a name as the saved VM was; beware of two VMs with one address',
      helpValue: '[NETWORK]',
    }),
    keep: Flags.string({
      description: 'make it permanent, with its images in this folder',
      helpValue: 'DIR',
      exclusive: ['check'],
    }),
    check: Flags.boolean({ description: 'test whether it boots, record that, and end' }),
    sign: Flags.option({
      description:
        'what counts as booted: an answer of the guest agent, or a screen that stands still; agent where one is configured',
      options: ['agent', 'screen'] as const,
      dependsOn: ['check'],
    })(),
    timeout: Flags.integer({
      description: 'seconds that a check waits',
      helpValue: 'SECONDS',
      default: 300,
      min: 1,
      max: 86_400,
    }),
    still: Flags.integer({
      description: 'seconds for which a screen has to stand still',
      helpValue: 'SECONDS',
      default: 20,
      min: 1,
      max: 3600,
    }),
    'no-record': Flags.boolean({ description: 'do not write the verdict to the backup folder' }),
    scratchdir: Flags.string({
      description: 'where the images of what the VM writes lie',
      default: '/var/tmp',
      helpValue: 'DIR',
    }),
    'qemu-user': Flags.string({
      description: "whom libvirt runs qemu as, where libvirt's capabilities do not say",
      helpValue: 'USER[:GROUP]',
    }),
    json: Flags.boolean({
      description: 'the verdict as JSON; VERDICT.md of @virtnbd/backup-set tells the keys',
      dependsOn: ['check'],
    }),
  };

  protected override async perform(flags: CommandFlags<typeof Boot>, session: Session): Promise<ExitCode> {
    const { args } = await this.parse(Boot);
    if (flags.keep !== undefined && flags.check) throw new UsageError('--check ends the VM, --keep keeps it');
    // Loaded here, so that --help does not wait for it.
    const { boot } = await import('../boot.ts');
    const keep = flags.keep === undefined ? undefined : resolve(flags.keep);
    const paths = { folder: args.folder, keep, scratchdir: resolve(flags.scratchdir) };
    return await boot({ ...flags, ...paths }, session, { name: this.config.bin, version: this.config.version });
  }
}
