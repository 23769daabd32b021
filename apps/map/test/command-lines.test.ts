import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { exportCommands, shellWord } from '../src/command-lines.ts';
import { hexDump } from '../src/presenter.ts';

/** The words that a shell makes of a line. */
function wordsOf(line: string): string[] {
  const { stdout } = spawnSync('sh', ['-c', `printf '%s\\0' ${line}`], { encoding: 'utf8' });
  return stdout.split('\0').slice(0, -1);
}

test('a shell takes a word of any characters for itself', () => {
  const word = fc.string({
    unit: fc.constantFrom(...`a 'é"\\$\`;&|<>*?[]{}()!#~=%\n\t,@`),
    minLength: 1,
    maxLength: 12,
  });
  fc.assert(
    fc.property(fc.array(word, { minLength: 1, maxLength: 6 }), (words) => {
      expect(wordsOf(words.map(shellWord).join(' '))).toEqual(words);
    }),
    { numRuns: 100 },
  );
});

test('the command lines hold the URI as it is; in an option of qemu a comma is doubled', () => {
  const uri = "nbd+unix:///vda?socket=/tmp/it's,here";
  const common = { disk: 'vda', point: 'virtnbdbackup.0', files: [], size: 1 };
  const lines = exportCommands({ ...common, name: 'vda', uri, writable: false });
  for (const line of lines) {
    if (line.startsWith('qemu-img')) expect(wordsOf(line)).toContain(uri);
    if (line.startsWith('guest')) expect(wordsOf(line)).toContain(uri.replace('nbd+unix:', 'nbd:'));
  }
  const qemu = wordsOf(lines.find((line) => line.startsWith('qemu-system')) ?? '');
  expect(qemu.at(-1)).toBe(`file=${uri.replace(',', ',,')},format=raw,if=virtio,snapshot=on`);
});

test('a hex dump has 16 bytes a line, and where they are', () => {
  expect(hexDump(Uint8Array.from({ length: 18 }, (_, index) => index))).toBe(
    '0000  00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f\n0010  10 11',
  );
});
