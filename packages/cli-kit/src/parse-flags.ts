import { stripVTControlCharacters } from 'node:util';
import { Flags, type Interfaces } from '@oclif/core';
import { UsageError } from './errors.ts';

// oclif takes a value that looks like one of the flags (--name=-v) for that flag. A NUL, which no argument can hold,
// stands before such a value until oclif has split the command line.
const GUARD = '\0';

/** Marks values that begin with a dash. @param argv normalised: values are attached, `--name=value` */
export function guardValues(argv: readonly string[]): string[] {
  const end = argv.indexOf('--');
  return argv.map((word, index) => (end === -1 || index < end ? word.replace(/^(--[^=]+=)(?=-)/, `$1${GUARD}`) : word));
}

/** The same flags, which take the mark off before they look at their value. */
export function unguardedFlags(flags: Interfaces.FlagInput): Interfaces.FlagInput {
  return Object.fromEntries(
    Object.entries(flags).map(([name, flag]) => [name, flag.type === 'option' ? unguarded(flag) : flag]),
  );
}

function unguarded(flag: Interfaces.OptionFlag<unknown>): Interfaces.OptionFlag<unknown> {
  const parse: typeof flag.parse = (input, context, options) => flag.parse(input.replace(GUARD, ''), context, options);
  return { ...flag, parse };
}

/** What oclif's parser says, in one line. */
export function usageErrorOf(error: unknown): UsageError {
  const text = error instanceof Error ? error.message : String(error);
  const lines = stripVTControlCharacters(text)
    .replaceAll(GUARD, '')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !/^(See more help with --help|The following errors? occurred:)$/.test(line));
  return new UsageError(lines.join('; ').replace(/^Parsing (--\S+);/, '$1:'), 'INVALID_USAGE', { cause: error });
}

/** The flags that every command has. Those that not all have are beside them. */
export const commonFlags = {
  noprogress: Flags.boolean({ char: 'n', description: 'show no progress', helpGroup: 'LOGGING' }),
  nocolor: Flags.boolean({ description: 'no colours', helpGroup: 'LOGGING' }),
  verbose: Flags.boolean({ char: 'v', description: 'tell more: every step, causes of errors', helpGroup: 'LOGGING' }),
  version: Flags.boolean({ char: 'V', description: 'show the version' }),
  help: Flags.boolean({ char: 'h', description: 'show this help' }),
};

/** For commands that have --quiet. */
export const quietFlag = Flags.boolean({ description: 'show errors only', helpGroup: 'LOGGING' });

/** For commands that have --logfile. */
export const logfileFlag = (path: string) =>
  Flags.string({ char: 'L', description: 'append a log to this file', default: path, helpGroup: 'LOGGING' });
