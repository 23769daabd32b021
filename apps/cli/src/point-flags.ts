import { Flags } from '@oclif/core';

/** One way to name a restore point, for all commands that use one. */
export const pointFlag = Flags.string({
  description: 'a checkpoint, copy, the unix time of a differential, a date, or latest',
  default: 'latest',
  helpValue: 'POINT',
});

/** Which file system is meant. */
export const choiceFlags = {
  disk: Flags.string({ char: 'd', description: 'the disk', helpValue: 'vda' }),
  partition: Flags.string({
    char: 'p',
    description: 'its partition, or a logical volume: vg/lv',
    helpValue: 'N|VG/LV',
  }),
};

export const scratchFlag = Flags.string({
  description: 'where temporary files lie',
  default: '/var/tmp',
  helpValue: 'DIR',
});
