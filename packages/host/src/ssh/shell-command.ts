import { HostError, printable } from '../errors.ts';

/** Needs no quotes in any shell. */
const PLAIN = /^[A-Za-z0-9_@%+:,./-]+$/;

/**
 * The line that makes a POSIX shell (sh, bash, dash, zsh, ksh) run a program with exactly these words: ssh hands one line
 * to the login shell on the other side, never an argument array. Within single quotes nothing has a meaning but the quote
 * itself.
 *
 * @throws HostError BAD_ARGUMENT for a word with a NUL, which no argument can hold
 */
export function shellCommand(words: readonly string[]): string {
  return words.map(quoted).join(' ');
}

function quoted(word: string): string {
  if (word.includes('\0')) throw new HostError('BAD_ARGUMENT', `an argument holds a NUL byte: ${printable(word)}`);
  return PLAIN.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
