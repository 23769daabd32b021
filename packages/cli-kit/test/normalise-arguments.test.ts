import { describe, expect, test } from 'vitest';
import { normaliseArguments, UsageError } from '../src/index.ts';
import { commands, virtnbdbackup, virtnbdmap, virtnbdrestore, withOurs } from './established-options.ts';

const words = (line: string) => (line === '' ? [] : line.split(' '));

describe('a command line of virtnbdbackup', () => {
  test.each([
    ['-z', '--compress=2'],
    ['-z -o DIR', '--compress=2 --output=DIR'],
    ['-o DIR -z', '--output=DIR --compress=2'],
    ['-z 5 -o DIR', '--compress=5 --output=DIR'],
    ['-z5', '--compress=5'],
    ['-z=5', '--compress=5'],
    ['--compress 5', '--compress=5'],
    ['--compress=5', '--compress=5'],
    ['--compress -v', '--compress=2 --verbose'],
    ['-nz', '--noprogress --compress=2'],
    ['-nz5', '--noprogress --compress=5'],
    ['-nz 5', '--noprogress --compress=5'],
    ['-z -- ', '--compress=2 -- '],
    ['-V', '--version'],
    ['-oDIR', '--output=DIR'],
    ['-o=DIR', '--output=DIR'],
    ['-o -', '--output=-'],
    ['-o-', '--output=-'],
    ['--output=', '--output='],
    ['--output=a=b', '--output=a=b'],
    ['-oa=b', '--output=a=b'],
    ['-T -5', '--threshold=-5'],
    ['-T -.5', '--threshold=-.5'],
    ['--domain=-v', '--domain=-v'],
    ['-d-v', '--domain=-v'],
    ['-vnSr', '--verbose --noprogress --start-domain --raw'],
    ['-vo DIR', '--verbose --output=DIR'],
    ['-voDIR', '--verbose --output=DIR'],
    ['-l full -l inc', '--level=inc'],
    ['-z 5 -v -z', '--verbose --compress=2'],
    ['-v -v', '--verbose'],
    ['--verb', '--verbose'],
    ['--comp 3', '--compress=3'],
    ['--comp=3', '--compress=3'],
    ['--freeze / -F /srv', '--freeze-mountpoint=/srv'],
    ['--tls', '--tls'],
    ['--tls-c x', '--tls-cert=x'],
    ['--no-', '--no-sparse-detection'],
    ['--qe --qu', '--qemu --quiet'],
    ['-- -v', '-- -v'],
    ['', ''],
  ])('%j becomes %j', (line, expected) => {
    expect(normaliseArguments(words(line), virtnbdbackup).join(' ')).toBe(expected);
  });

  test('keeps a value with a space though it begins with a dash, as argparse does', () => {
    expect(normaliseArguments(['-d', '-my vm', '-o', '--my dir'], virtnbdbackup)).toEqual([
      '--domain=-my vm',
      '--output=--my dir',
    ]);
  });

  test('keeps odd and empty values as they are', () => {
    const values = ['', ' ', 'quote \' "', 'new\nline', 'ünïcode ☃', '$(x)', '[a]*?', '\\'];
    for (const value of values) {
      expect(normaliseArguments(['-o', value], virtnbdbackup)).toEqual([`--output=${value}`]);
    }
  });

  test('puts what is no option behind --, so that it is refused by name', () => {
    expect(normaliseArguments(['vm1', '-v', 'b'], virtnbdbackup)).toEqual(['--verbose', '--', 'vm1', 'b']);
  });
});

test.each([
  ['-cD', '--adjust-config --define'],
  ['-cDo DIR', '--adjust-config --define --output=DIR'],
  ['-cDoDIR', '--adjust-config --define --output=DIR'],
  ['-cDo=DIR', '--adjust-config --define --output=DIR'],
  ['-a dump -i IN -o -', '--action=dump --input=IN --output=-'],
  ['--seq a,b --until virtnbdbackup.3', '--sequence=a,b --until=virtnbdbackup.3'],
])('of virtnbdrestore: %j becomes %j', (line, expected) => {
  expect(normaliseArguments(words(line), virtnbdrestore).join(' ')).toBe(expected);
});

test.each([
  ['-f a,b -d /dev/nbd5 -Hrn', '--file=a,b --device=/dev/nbd5 --hexdump --readonly --noprogress'],
  ['--listen-a 0.0.0.0 --listen-p 1', '--listen-address=0.0.0.0 --listen-port=1'],
])('of virtnbdmap: %j becomes %j', (line, expected) => {
  expect(normaliseArguments(words(line), virtnbdmap).join(' ')).toBe(expected);
});

describe('every option of every command', () => {
  const cases = Object.entries(commands).flatMap(([command, spec]) =>
    spec.map((option) => ({ command, spec, option, name: `${command} --${option.long}` })),
  );

  test.each(cases)('$name is understood in each of its forms', ({ spec, option }) => {
    const long = `--${option.long}`;
    const forms =
      option.kind === 'flag'
        ? [[long], [`-${option.short}`]]
        : [[long, 'X'], [`${long}=X`], [`-${option.short}`, 'X'], [`-${option.short}X`], [`-${option.short}=X`]];
    const usable = option.short === undefined ? forms.filter((form) => form[0]?.startsWith('--')) : forms;
    for (const form of usable) {
      expect(normaliseArguments(form, spec)).toEqual([option.kind === 'flag' ? long : `${long}=X`]);
    }
    if (option.kind === 'optionalValue') expect(normaliseArguments([long], spec)).toEqual([`${long}=2`]);
  });

  test.each(cases)('$name is understood by its shortest prefix that no other one has', ({ spec, option }) => {
    const others = spec.filter((other) => other !== option).map((other) => other.long);
    const lengths = Array.from({ length: option.long.length }, (_, i) => i + 1);
    const length = lengths.find((n) => !others.some((other) => other.startsWith(option.long.slice(0, n))));
    const prefix = `--${option.long.slice(0, length ?? option.long.length)}`;
    const expected = option.kind === 'flag' ? [`--${option.long}`] : [`--${option.long}=X`];
    expect(normaliseArguments(option.kind === 'flag' ? [prefix] : [prefix, 'X'], spec)).toEqual(expected);
  });
});

describe('options of ours', () => {
  test('are understood in full', () => {
    expect(normaliseArguments(words('--allow-plaintext --chunk-size 5 --verify-mode=x'), withOurs)).toEqual([
      '--allow-plaintext',
      '--chunk-size=5',
      '--verify-mode=x',
    ]);
  });

  test('do not make a prefix of an established option ambiguous', () => {
    expect(
      normaliseArguments(
        ['--ver'],
        withOurs.filter((o) => o.long !== 'verbose'),
      ),
    ).toEqual(['--version']);
  });

  test('are refused as a prefix, with the full name', () => {
    expect(() => normaliseArguments(['--allow'], withOurs)).toThrow('write --allow-plaintext in full');
  });

  test('count each time where they may be given more than once', () => {
    const spec = [{ long: 'map', kind: 'value', established: false, multiple: true } as const];
    expect(normaliseArguments(words('--map a --map b'), spec)).toEqual(['--map=a', '--map=b']);
  });
});

describe('a wrong command line is refused with its reason', () => {
  test.each([
    ['--ver', 'AMBIGUOUS_OPTION', '--ver could mean --verbose, --version'],
    ['--n', 'AMBIGUOUS_OPTION', '--noprogress, --no-sparse-detection, --nbd-port, --nbd-ip, --nocolor'],
    ['--bogus', 'UNKNOWN_OPTION', 'there is no option --bogus'],
    ['-Q', 'UNKNOWN_OPTION', 'there is no option -Q'],
    ['-vQ', 'UNKNOWN_OPTION', 'there is no option -Q, in -vQ'],
    ['-o', 'MISSING_VALUE', '-o/--output needs a value'],
    ['-o -v', 'MISSING_VALUE', '-o/--output needs a value'],
    ['-o -- x', 'MISSING_VALUE', '-o/--output needs a value'],
    ['--scratchdir', 'MISSING_VALUE', '--scratchdir needs a value'],
    ['--verbose=1', 'UNEXPECTED_VALUE', '--verbose takes no value'],
    ['--verbose=', 'UNEXPECTED_VALUE', '--verbose takes no value'],
    ['-v=1', 'UNEXPECTED_VALUE', '-v takes no value'],
  ])('%j: %s', (line, code, message) => {
    const parse = () => normaliseArguments(words(line), virtnbdbackup);
    expect(parse).toThrow(UsageError);
    expect(parse).toThrow(expect.objectContaining({ code, message: expect.stringContaining(message) }));
  });
});
