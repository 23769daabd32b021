import { Flags } from '@oclif/core';
import { UsageError } from '@virtnbd/cli-kit';

/** What of the VM is saved, and what is done to the VM for it. */
export const sourceFlags = {
  type: Flags.option({
    char: 't',
    description: 'stream files, which increments build upon, or plain raw images (full and copy only)',
    options: ['stream', 'raw'] as const,
    default: 'stream',
  })(),
  raw: Flags.boolean({
    char: 'r',
    description: 'save raw images, block devices and LUNs, too; each of them whole every time',
  }),
  include: Flags.string({ char: 'i', description: 'save only these disks', helpValue: 'vda,vdb' }),
  exclude: Flags.string({ char: 'x', description: 'do not save these disks', helpValue: 'vdb' }),
  checkpointdir: Flags.string({
    char: 'C',
    description: "where the checkpoints' XML lies, for a VM that moves between hosts; in the backup folder by default",
    helpValue: 'DIR',
  }),
  'start-domain': Flags.boolean({
    char: 'S',
    description: 'start a VM that is off, without letting it run, so that it can have a checkpoint; end it afterwards',
  }),
  pause: Flags.boolean({ description: 'pause a VM that runs while the job begins, rather than freeze its guest' }),
  wait: Flags.custom<number>({
    description: 'wait for another run on the same VM or folder to end, for ever or for so many seconds',
    helpValue: '[SECONDS]',
    parse: async (text) => secondsOf(text),
  })(),
  'allow-plaintext': Flags.boolean({ description: 'save encrypted disks, decrypted' }),
};

/** What the established command has, too. */
export const ESTABLISHED_SOURCE_FLAGS: readonly string[] = [
  ...['type', 'raw', 'include', 'exclude', 'checkpointdir', 'start-domain', 'pause'],
];

/** For ever. */
export const BARE_WAIT = 'forever';

function secondsOf(text: string): number {
  if (text === BARE_WAIT) return Number.POSITIVE_INFINITY;
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new UsageError(`--wait takes a number of seconds, not "${text}"`);
}
