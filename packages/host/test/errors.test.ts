import { describe, expect, test } from 'vitest';
import { fileError, HostError } from '../src/errors.ts';

describe('fileError', () => {
  test.each([
    ['ENOSPC', 'NO_SPACE'],
    ['EDQUOT', 'QUOTA'],
    ['EACCES', 'PERMISSION'],
    ['EROFS', 'READ_ONLY'],
    ['EIO', 'IO'],
    ['ESOMETHING', 'IO'],
  ])('turns %s into %s and keeps errno, path and cause', (errno, code) => {
    const cause = Object.assign(new Error('system text'), { code: errno });
    const error = fileError(cause, 'cannot write', '/backup/f');
    expect(error).toMatchObject({ code, errno, path: '/backup/f', cause });
    expect(error.message).toContain('cannot write /backup/f: ');
    expect(error.message).toContain(`(${errno})`);
  });

  test('lets a HostError pass', () => {
    const error = new HostError('SHORT_READ', 'text');
    expect(fileError(error, 'cannot read', '/f')).toBe(error);
  });
});
