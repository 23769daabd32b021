import { BackupCommand } from '@virtnbd/backup';
import { examplesOfTopic } from '../topic.ts';

/** `virtnbd backup`: the command virtnbdbackup. */
export default class Backup extends BackupCommand {
  static override examples = examplesOfTopic(BackupCommand.examples);
}
