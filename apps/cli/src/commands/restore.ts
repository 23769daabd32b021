import { RestoreCommand } from '@virtnbd/restore';
import { examplesOfTopic } from '../topic.ts';

/** `virtnbd restore`: the command virtnbdrestore. */
export default class Restore extends RestoreCommand {
  static override examples = examplesOfTopic(RestoreCommand.examples);
}
