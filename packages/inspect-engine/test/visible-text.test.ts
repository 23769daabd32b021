import { expect, test } from 'vitest';
import { visibleText } from '../src/index.ts';

test.each([
  ['an escape sequence', '\u001b[2Jgone', '\\u{1b}[2Jgone'],
  ['a line break', 'a\nb\r', 'a\\u{a}b\\u{d}'],
  ['an override of the direction', 'a\u202efdp.exe', 'a\\u{202e}fdp.exe'],
  ['an isolate and a mark', '\u2066\u200e', '\\u{2066}\\u{200e}'],
  ['an invisible letter', 'v\u200bda', 'v\\u{200b}da'],
  ['a lone surrogate', 'x\ud800', 'x\\u{d800}'],
  ['a tag character', 'x\u{e0041}', 'x\\u{e0041}'],
])('%s is shown as what it is', (_name, text, shown) => {
  expect(visibleText(text)).toBe(shown);
});

test('letters of any script stay', () => {
  expect(visibleText('Übung – 日本語 ✓ 👍 <b>')).toBe('Übung – 日本語 ✓ 👍 <b>');
});

test('a text without end is cut', () => {
  expect(visibleText('a'.repeat(5000))).toHaveLength(2001);
});
