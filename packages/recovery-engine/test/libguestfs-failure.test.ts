import { expect, test } from 'vitest';
import { libguestfsFailure } from '../src/files/libguestfs-failure.ts';

test('what libguestfs says is one line, without its name before each', () => {
  expect(libguestfsFailure('libguestfs: error: mount: no such device\n*stdin*:3: libguestfs: error: really\n\n')).toBe(
    'mount: no such device; really',
  );
  expect(libguestfsFailure('\n')).toBe('it said nothing');
});

test('where it finds no kernel for its VM, what helps is told instead', () => {
  const said = 'libguestfs: error: /usr/bin/supermin exited with error status 1.\nTo see full error messages …\n';
  expect(libguestfsFailure(said)).toMatch(/chmod \+r \/boot\/vmlinuz.*SUPERMIN_KERNEL/);
});
