import { Flags } from '@oclif/core';
import type { Logger } from '@virtnbd/cli-kit';
import type { DomainRequest } from '@virtnbd/restore-engine';

const helpGroup = 'CONFIGURATION';

/** The options that are about the VM's configuration. */
export const domainFlags = {
  'adjust-config': Flags.boolean({
    char: 'c',
    description: 'change the configuration, so that the restored VM can be defined beside the original',
    helpGroup,
  }),
  define: Flags.boolean({ char: 'D', description: 'define the restored VM (with -c)', helpGroup }),
  name: Flags.string({
    char: 'N',
    description: "the restored VM's name; restore_ and the original's by default",
    helpValue: 'NAME',
    helpGroup,
  }),
  'config-file': Flags.string({
    char: 'C',
    description: "name of the configuration's file in the output folder; vmconfig.xml by default, with -c",
    helpValue: 'NAME',
    helpGroup,
  }),
  'new-mac': Flags.boolean({ description: 'new addresses for the network interfaces (with -c)', helpGroup }),
  'restore-boot-files': Flags.boolean({
    description: 'put loader, nvram, kernel and initrd to their original places, where they are missing',
    helpGroup,
  }),
};

export const ESTABLISHED_DOMAIN_FLAGS = ['adjust-config', 'define', 'name', 'config-file'];

/** The values of those options. */
export interface DomainFlags {
  readonly 'adjust-config': boolean;
  readonly define: boolean;
  readonly name: string | undefined;
  readonly 'config-file': string | undefined;
  readonly 'new-mac': boolean;
  readonly 'restore-boot-files': boolean;
  readonly raw: boolean;
  readonly sequence: string | undefined;
}

/** What the engine is asked for; says which options have no effect. */
export function domainRequest(flags: DomainFlags, log: Logger): DomainRequest {
  const asked = flags['adjust-config'] || flags.define;
  // Files that somebody has put together belong to no point, and so to no configuration.
  const adjust = asked && flags.sequence === undefined;
  if (asked && !adjust) log.warn('--sequence restores a disk only: -c and -D have no effect');
  if (!asked && (flags.name !== undefined || flags['new-mac']))
    log.warn('--name and --new-mac have an effect with -c only');
  const configFile = flags['config-file'];
  return {
    adjust,
    define: flags.define && adjust,
    newMac: flags['new-mac'],
    keepRaw: flags.raw,
    restoreBootFiles: flags['restore-boot-files'],
    ...(flags.name !== undefined && { name: flags.name }),
    ...(configFile !== undefined && { configFile }),
  };
}
