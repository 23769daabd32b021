import { MapCommand } from '@virtnbd/map';
import { examplesOfTopic } from '../topic.ts';

/** `virtnbd map`: the command virtnbdmap. */
export default class MapDisks extends MapCommand {
  static override examples = examplesOfTopic(MapCommand.examples);
}
