import { expect, test } from 'vitest';
import { commandName, errnoName, errnoNumber, optionName, optionReplyName } from '../src/index.ts';

test('error values have their names, unknown ones their number', () => {
  expect([1, 5, 12, 22, 28, 75, 95, 108].map(errnoName)).toEqual([
    'EPERM',
    'EIO',
    'ENOMEM',
    'EINVAL',
    'ENOSPC',
    'EOVERFLOW',
    'ENOTSUP',
    'ESHUTDOWN',
  ]);
  expect(errnoName(61)).toBe('ERRNO_61');
});

test('a name that the protocol does not know becomes EINVAL', () => {
  expect(errnoNumber('ENOSPC')).toBe(28);
  expect(errnoNumber('EDOM')).toBe(22);
});

test('options, replies and commands have the names of the specification', () => {
  expect(optionName(7)).toBe('NBD_OPT_GO');
  expect(optionReplyName(0x80000006)).toBe('NBD_REP_ERR_UNKNOWN');
  expect(optionReplyName(0x80001234)).toBe('option reply 0x80001234');
  expect([0, 1, 2, 3, 4, 5, 6, 7].map(commandName)).toEqual([
    'NBD_CMD_READ',
    'NBD_CMD_WRITE',
    'NBD_CMD_DISC',
    'NBD_CMD_FLUSH',
    'NBD_CMD_TRIM',
    'NBD_CMD_CACHE',
    'NBD_CMD_WRITE_ZEROES',
    'NBD_CMD_BLOCK_STATUS',
  ]);
});
