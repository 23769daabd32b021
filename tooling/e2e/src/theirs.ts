import { join } from 'node:path';
import { untilClosed } from '@virtnbd/test-kit';
import { established } from './established.ts';
import type { Scenario } from './scenario.ts';

/** A backup of the established tool into the scenario's folder. */
export async function theirBackup(scenario: Scenario, level: string, point: string, ...args: string[]): Promise<void> {
  await scenario.keepReference(point);
  await theirBackupOnly(scenario, level, ...args);
}

/** The same without references. */
export async function theirBackupOnly(scenario: Scenario, level: string, ...args: string[]): Promise<void> {
  const where = ['-U', scenario.libvirt.uri, '-d', scenario.vm.name, '-o', scenario.folder];
  await established('virtnbdbackup', [...where, '-l', level, ...args]);
}

/** A restore by the established tool of our folder; gives the folder with the images. */
export async function theirRestore(scenario: Scenario, point: string, disk = 'vda'): Promise<string> {
  const target = join(scenario.work.path, `theirs-${point}-${disk}`);
  await established('virtnbdrestore', [
    ...['-U', scenario.libvirt.uri, '-i', scenario.folder, '-o', target, '--until', point, '-d', disk],
    ...['--logfile', join(scenario.work.path, 'restore.log')],
  ]);
  await untilClosed(join(target, scenario.imageName(disk)));
  return target;
}
