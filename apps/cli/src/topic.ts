/** An example in a command's help. */
export interface Example {
  description: string;
  command: string;
}

/** Examples of a single-command app with the topic's name in them. */
export function examplesOfTopic(examples: readonly Example[]): Example[] {
  return examples.map((example) => ({
    ...example,
    command: example.command.replaceAll('<%= config.bin %>', '<%= config.bin %> <%= command.id %>'),
  }));
}
