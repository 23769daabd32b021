import Backup from './commands/backup.ts';
import Boot from './commands/boot.ts';
import Cp from './commands/cp.ts';
import Diff from './commands/diff.ts';
import Inspect from './commands/inspect.ts';
import Ls from './commands/ls.ts';
import MapDisks from './commands/map.ts';
import Restore from './commands/restore.ts';
import Verify from './commands/verify.ts';

/** Every command of our own, by its name. package.json names this list for oclif; plugins add theirs. */
export const COMMANDS = {
  backup: Backup,
  boot: Boot,
  cp: Cp,
  diff: Diff,
  inspect: Inspect,
  ls: Ls,
  map: MapDisks,
  restore: Restore,
  verify: Verify,
};
