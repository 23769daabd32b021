import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { requires } from '@virtnbd/test-kit';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type ArgumentSpec, normaliseArguments } from '../src/index.ts';
import { commands } from './established-options.ts';

const script = fileURLToPath(new URL('parse_with_argparse.py', import.meta.url));

/** What argparse makes of each line; null where it refuses. */
function argparse(options: ArgumentSpec, lines: readonly string[][]): unknown[] {
  const input = JSON.stringify({ options, lines });
  return JSON.parse(execFileSync('python3', [script], { input, encoding: 'utf8' })) as unknown[];
}

/** What a normalised line sets; null where it is refused, now or by oclif for arguments that are no options. */
function ours(spec: ArgumentSpec, line: readonly string[]): Record<string, string | true> | null {
  try {
    const normal = normaliseArguments(line, spec);
    expect(normaliseArguments(normal, spec)).toEqual(normal);
    if (normal.includes('--') && normal.at(-1) !== '--') return null;
    const pairs = normal.map((word) => {
      const [, name = '', , value] = /^--([^=]+)(=(.*))?$/s.exec(word) ?? [];
      return [name, word.includes('=') ? (value ?? '') : true] as const;
    });
    return Object.fromEntries(pairs);
  } catch (error) {
    if (error instanceof Error && error.name === 'UsageError') return null;
    throw error;
  }
}

function line(spec: ArgumentSpec): fc.Arbitrary<string[]> {
  const value = fc.constantFrom(
    'vda',
    'a,b',
    '-',
    '-5',
    '-1.5',
    '5',
    '',
    'a b',
    '-my vm',
    '--my vm',
    'x=y',
    '/dev/x',
    'é',
  );
  const plain = fc.constantFrom('vda', '5', 'x=y', '-', '/d');
  const option = fc.constantFrom(...spec);
  const withShort = fc.constantFrom(...spec.filter((o) => o.short !== undefined));
  const flags = fc.constantFrom(...spec.filter((o) => o.short !== undefined && o.kind === 'flag'));
  const prefix = fc.tuple(option, fc.integer({ min: 1, max: 30 })).map(([o, n]) => `--${o.long.slice(0, n)}`);
  const words = fc.oneof(
    value.map((v) => [v]),
    option.map((o) => [`--${o.long}`]),
    withShort.map((o) => [`-${o.short}`]),
    // Most of all what is right: options with their values.
    fc.tuple(option, value).map(([o, v]) => (o.kind === 'flag' ? [`--${o.long}`] : [`--${o.long}`, v])),
    fc.tuple(withShort, value).map(([o, v]) => (o.kind === 'flag' ? [`-${o.short}`] : [`-${o.short}`, v])),
    fc.tuple(option, value).map(([o, v]) => [`--${o.long}=${v}`]),
    // Versions of argparse differ on -v=x and -vo=x: not made here.
    fc.tuple(withShort, plain).map(([o, v]) => (o.kind === 'flag' ? [`-${o.short}`] : [`-${o.short}${v}`])),
    fc
      .tuple(fc.array(flags, { minLength: 1, maxLength: 3 }), withShort)
      .map(([f, o]) => [`-${f.map((x) => x.short).join('')}${o.short}`]),
    prefix.map((p) => [p]),
    fc.tuple(prefix, value).map(([p, v]) => [`${p}=${v}`]),
    fc.constantFrom(['--'], ['-9x'], ['--bogus'], ['-Z']),
  );
  const lines = fc.array(words, { maxLength: 6 }).map((parts) => parts.flat());
  // argparse (3.11) refuses a -- with nothing behind it, which is harmless.
  return lines.filter((parts) => parts.at(-1) !== '--');
}

test.skipIf(requires('python3').skip).each(Object.entries(commands))(
  '%s: random command lines mean what argparse makes of them',
  (_, spec) => {
    const seed = Number(process.env.VIRTNBD_SEED ?? Date.now() % 2 ** 31);
    const lines = fc.sample(line(spec), { numRuns: 4000, seed });
    const theirs = argparse(spec, lines);
    const accepted = theirs.filter((result) => result !== null).length;
    expect(accepted).toBeGreaterThan(400);
    for (const [index, words] of lines.entries()) {
      expect(ours(spec, words), `seed ${seed}: ${JSON.stringify(words)}`).toEqual(theirs[index]);
    }
  },
);
