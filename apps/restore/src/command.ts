import { homedir } from 'node:os';
import { join } from 'node:path';
import { Flags } from '@oclif/core';
import {
  BaseCommand,
  type CommandFlags,
  type ExitCode,
  establishedRemoteFlags,
  logfileFlag,
  remoteFlags,
  type Session,
} from '@virtnbd/cli-kit';
import { domainFlags, ESTABLISHED_DOMAIN_FLAGS } from './domain-flags.ts';

/** `virtnbdrestore`: flags in, the engine's events out. */
export default class Restore extends BaseCommand<typeof Restore> {
  static override summary = 'Restore disks of a virtual machine from a backup folder.';
  static override description = [
    'For each disk an image is made that holds, byte for byte, what the disk held at the restore point: the newest ' +
      'one, or the one that --until names. Folders of the established virtnbdbackup are restored as well. libvirt is ' +
      'not needed, and no existing file is overwritten without --force.',
    'Exit codes: 0 done and exact; 1 failed, no image is left; 2 wrong usage; 3 --salvage has ' +
      'restored what is good, and listed what is not; 128 + n ended by signal n.',
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
    {
      description: 'with the VM defined, under another name, beside the original',
      command: '<%= config.bin %> -cD -i /backup/vm1 -o /restore/vm1 --name vm1-again',
    },
    {
      description: 'only tell what would be done',
      command: '<%= config.bin %> -i /backup/vm1 -o /restore/vm1 --dry-run',
    },
    {
      description: 'to a logical volume',
      command: '<%= config.bin %> -i /backup/vm1 -o /restore/vm1 --to-device vda=/dev/vg0/vm1',
    },
    {
      description: 'on another host, as a VM that is defined there',
      command: '<%= config.bin %> -U qemu+ssh://root@hypervisor/system -cD -i /backup/vm1 -o /images/vm1',
    },
    {
      description: 'bring the image of a VM that is off back, writing only what differs',
      command: '<%= config.bin %> -i /backup/vm1 -o /restore/vm1 --onto vda=/images/vm1.qcow2 --until virtnbdbackup.2',
    },
  ];
  static override established = [
    ...establishedRemoteFlags,
    ...['action', 'input', 'output', 'until', 'sequence', 'disk', 'socketfile', 'raw', 'buffsize', 'preallocate'],
    ...['compress', 'logfile'],
    ...ESTABLISHED_DOMAIN_FLAGS,
  ];
  static override flags = {
    action: Flags.option({
      char: 'a',
      description: 'restore: make images; dump: print the headers of all data files as JSON; verify: compare checksums',
      options: ['dump', 'restore', 'verify'] as const,
      default: 'restore',
    })(),
    input: Flags.string({
      char: 'i',
      description: 'the backup folder, or zips of virtnbdbackup -o -, which are read in place: full.zip,inc1.zip',
      required: true,
      helpValue: 'DIR',
    }),
    output: Flags.string({
      char: 'o',
      description: 'the folder for the images; the words dump and verify stand for these actions',
      helpValue: 'DIR',
    }),
    disk: Flags.string({ char: 'd', description: 'only this disk', helpValue: 'vda' }),
    until: Flags.string({
      char: 'u',
      description:
        'the restore point: a checkpoint, copy, the unix time of a differential, latest, or a date or time (the newest ' +
        'point not later than it)',
      default: 'latest',
      helpValue: 'POINT',
    }),
    sequence: Flags.string({
      char: 's',
      description: 'these files of one disk, base first, rather than a restore point',
      helpValue: 'F1,F2',
    }),
    'dry-run': Flags.boolean({ description: 'tell what would be done, and do nothing' }),
    json: Flags.boolean({ description: 'print the plan and the result as JSON' }),
    verify: Flags.boolean({ description: 'read every target back when it is written, and compare' }),
    salvage: Flags.boolean({
      description: 'restore what is good of a damaged point, list what is not, and exit with 3',
    }),
    jobs: Flags.integer({ description: 'disks written at the same time', helpValue: 'N', min: 1, max: 64, default: 2 }),
    force: Flags.boolean({ description: 'replace files of the same names', helpGroup: 'TARGET' }),
    format: Flags.string({
      description: 'the images: qcow2, raw, vmdk, vdi, vhdx, vpc, qed, parallels; as they were saved by default',
      helpGroup: 'TARGET',
    }),
    preallocate: Flags.boolean({ char: 'A', description: 'reserve all space of the images', helpGroup: 'TARGET' }),
    compress: Flags.boolean({ description: 'compress qcow2 images', helpGroup: 'TARGET' }),
    'to-device': Flags.string({
      description: 'write a disk to a block device, which it erases; may be repeated',
      helpValue: 'vda=/dev/…',
      multiple: true,
      helpGroup: 'TARGET',
    }),
    onto: Flags.string({
      description: 'bring an existing image, of a VM that is off, back to the point; may be repeated',
      helpValue: 'vda=FILE',
      multiple: true,
      helpGroup: 'TARGET',
    }),
    yes: Flags.boolean({
      char: 'y',
      description: 'do not ask before a device or an image is overwritten',
      helpGroup: 'TARGET',
    }),
    raw: Flags.boolean({
      char: 'r',
      description: 'with -c, raw disks that the backup lacks stay in the configuration',
      helpGroup: 'CONFIGURATION',
    }),
    socketfile: Flags.string({
      char: 'f',
      description: "the socket of the image's server, where one is needed; in a private folder by default",
      helpValue: 'PATH',
      helpGroup: 'TARGET',
    }),
    buffsize: Flags.integer({
      char: 'B',
      description: 'taken, and without effect: sizes of reads suit themselves',
      default: 8192,
      min: 1,
      helpValue: 'BYTES',
    }),
    ...domainFlags,
    ...remoteFlags,
    logfile: logfileFlag(join(homedir(), 'virtnbdrestore.log')),
  };

  protected override async perform(flags: CommandFlags<typeof Restore>, session: Session): Promise<ExitCode> {
    const action = flags.output === 'dump' || flags.output === 'verify' ? flags.output : flags.action;
    // Loaded here, so that --help does not wait for it.
    if (action === 'dump') return await (await import('./dump.ts')).dump(flags, session);
    if (action === 'verify') return await (await import('./verify.ts')).verify(flags, session);
    return await (await import('./restore.ts')).restore(flags, session);
  }
}
