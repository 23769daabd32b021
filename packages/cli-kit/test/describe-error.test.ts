import { describe, expect, test } from 'vitest';
import { describeError } from '../src/index.ts';

describe('describeError', () => {
  test('gives the message alone', () => {
    expect(describeError(new Error('outer', { cause: new Error('inner') }))).toBe('outer');
  });

  test('gives codes, stacks and the chain of causes when verbose', () => {
    const inner = Object.assign(new Error('inner'), { code: 'EIO' });
    const text = describeError(new Error('outer', { cause: inner }), { verbose: true });
    expect(text).toMatch(/^outer\n\s+at .+\ncaused by: inner\ncode: EIO\n\s+at /s);
  });

  test('ends on causes in a circle', () => {
    const error = new Error('round');
    error.cause = error;
    expect(describeError(error, { verbose: true }).split('caused by').length).toBe(11);
  });

  test('gives each of several errors', () => {
    expect(describeError(new AggregateError([new Error('a'), new Error('b')], 'two disks failed'))).toBe(
      'two disks failed\na\nb',
    );
  });

  test('gives the first error, then what failed on cleaning up', async () => {
    const error = await (async () => {
      await using _ = { [Symbol.asyncDispose]: () => Promise.reject(new Error('close failed')) };
      throw new Error('write failed');
    })().catch((e: unknown) => e);
    expect(describeError(error)).toBe('write failed\nthen, on cleaning up: close failed');
  });

  test('takes anything that is thrown', () => {
    expect(['text', undefined, new TypeError('')].map((e) => describeError(e))).toEqual([
      'text',
      'undefined',
      'TypeError',
    ]);
  });
});
