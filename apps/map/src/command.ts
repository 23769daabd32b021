import { homedir } from 'node:os';
import { join } from 'node:path';
import { Flags } from '@oclif/core';
import { BaseCommand, type CommandFlags, logfileFlag, type Session } from '@virtnbd/cli-kit';

/** `virtnbdmap`: flags in, the engine's events out. */
export default class MapDisks extends BaseCommand<typeof MapDisks> {
  static override summary = 'Use a restore point without restoring it: as a device, as files, over NBD.';
  static override description = [
    'The disks are served from the files of the backup, ready at once, whatever their size. Every read is compared with ' +
      "the backup's checksums: damage is an I/O error and a line in the log, never wrong bytes. Nothing is ever written to " +
      'the backup: what is written goes to a temporary file, or to the one that --overlay names.',
    'With --mount the files of a disk appear in a folder, with --device a disk is a block device; otherwise the disks are ' +
      'served on a socket or port, and command lines that use them are printed. As root, and where the kernel has NBD ' +
      'devices, /dev/nbd0 is what is meant when nothing else is said, as with the established command. The command stays ' +
      'until Ctrl-C, SIGTERM, an unmount of the folder, or, with --once, the end of the last client, and takes everything ' +
      'away again.',
    'Volume groups are not activated: --mount DIR --partition GROUP/NAME reaches a logical volume through guestmount.',
    'Exit codes: 0 ended in good order; 1 failed, or damage was found; 2 wrong usage; 128 + n ended by signal n.',
  ].join('\n\n');
  static override examples = [
    { description: 'the files of the newest point', command: '<%= config.bin %> -i /backup/vm1 --mount /mnt/restore' },
    {
      description: 'an older point, one of several disks and partitions',
      command: '<%= config.bin %> -i /backup/vm1 --until virtnbdbackup.2 --disk vda --mount /mnt/restore --partition 1',
    },
    {
      description: 'all disks on a socket, for qemu, guestfish, nbdcopy …',
      command: '<%= config.bin %> -i /backup/vm1 --socket /run/vm1.nbd',
    },
    {
      description: 'over the network, encrypted, until the first client has gone',
      command: '<%= config.bin %> -i /backup/vm1 --listen 192.0.2.1:10809 --tls --once',
    },
    {
      description: 'files by hand, as a block device',
      command:
        '<%= config.bin %> -f /backup/vm1/vda.full.data,/backup/vm1/vda.inc.virtnbdbackup.1.data --device /dev/nbd0',
    },
  ];
  static override established = [
    'file',
    'blocksize',
    'device',
    'export-name',
    'threads',
    'listen-address',
    'listen-port',
    'logfile',
    'readonly',
    'hexdump',
  ];
  static override flags = {
    file: Flags.string({
      char: 'f',
      description: 'backup files of one disk, base first; all of the chain, from one folder',
      helpValue: 'FULL,INC,…',
      helpGroup: 'WHAT',
    }),
    input: Flags.string({
      char: 'i',
      description: 'the backup folder, or zips: a.zip,b.zip',
      helpValue: 'DIR',
      helpGroup: 'WHAT',
    }),
    disk: Flags.string({ description: 'only this disk', helpValue: 'vda', helpGroup: 'WHAT' }),
    until: Flags.string({
      char: 'u',
      description:
        'the restore point: a checkpoint, copy, the unix time of a differential, a date or time, latest; latest by default',
      helpValue: 'POINT',
      helpGroup: 'WHAT',
    }),
    mount: Flags.string({ description: 'show the files in this folder', helpValue: 'DIR', helpGroup: 'WHERE' }),
    partition: Flags.string({
      description: 'with --mount: the partition; needed when there are several file systems',
      helpValue: 'N|GROUP/NAME',
      helpGroup: 'WHERE',
    }),
    device: Flags.string({
      char: 'd',
      description: 'map to this block device of the kernel, or to the first free one',
      helpValue: '/dev/nbdN|auto',
      helpGroup: 'WHERE',
    }),
    socket: Flags.string({ description: 'serve on this unix socket', helpValue: 'PATH', helpGroup: 'WHERE' }),
    listen: Flags.string({ description: 'serve on TCP, read-only', helpValue: 'ADDR:PORT', helpGroup: 'WHERE' }),
    'listen-address': Flags.string({
      char: 'l',
      description: 'as --listen: the address; 127.0.0.1 by default',
      helpValue: 'ADDR',
      helpGroup: 'WHERE',
    }),
    'listen-port': Flags.integer({
      char: 'p',
      description: 'as --listen: the port; 10809 by default',
      helpValue: 'PORT',
      helpGroup: 'WHERE',
      min: 0,
      max: 65_535,
    }),
    'export-name': Flags.string({
      char: 'e',
      description: "name of the one disk's export; sda by default with --file, else that of the disk",
      helpValue: 'NAME',
      helpGroup: 'WHERE',
    }),
    readonly: Flags.boolean({ char: 'r', description: 'no writes, not even to an overlay', helpGroup: 'HOW' }),
    overlay: Flags.string({
      description: 'keep what is written in this file, and go on with it the next time',
      helpValue: 'FILE',
      helpGroup: 'HOW',
    }),
    scratchdir: Flags.string({
      description: 'where what is written goes when it is not kept',
      helpValue: 'DIR',
      default: '/var/tmp',
      helpGroup: 'HOW',
    }),
    once: Flags.boolean({ description: 'end when the last client has left', helpGroup: 'HOW' }),
    tls: Flags.boolean({ description: 'with --listen: only encrypted connections', helpGroup: 'HOW' }),
    'tls-cert': Flags.string({
      description:
        'folder of server-cert.pem and server-key.pem; with a ca-cert.pem in it clients need a certificate, too',
      helpValue: 'DIR',
      default: '/etc/pki/qemu/',
      helpGroup: 'HOW',
    }),
    blocksize: Flags.integer({
      char: 'b',
      description: 'the largest request that clients may send, in bytes; 32 MiB by default',
      helpValue: 'BYTES',
      helpGroup: 'HOW',
      min: 512,
      max: 33_554_432,
    }),
    threads: Flags.integer({
      char: 't',
      description: 'requests of a client that are served at the same time; 16 by default',
      helpValue: 'N',
      helpGroup: 'HOW',
      min: 1,
      max: 1024,
    }),
    hexdump: Flags.boolean({ char: 'H', description: 'write every request to the log file', helpGroup: 'LOGGING' }),
    logfile: logfileFlag(join(homedir(), 'virtnbdmap.log')),
  };

  protected override async perform(flags: CommandFlags<typeof MapDisks>, session: Session): Promise<undefined> {
    // Loaded here, so that --help does not wait for it.
    const { map } = await import('./map.ts');
    await map(flags, session);
    return undefined;
  }
}
