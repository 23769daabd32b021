import { describe, expect, test } from 'vitest';
import { errorCodeName } from '../src/error-codes.ts';
import { loadLibvirt } from '../src/ffi/library.ts';

describe('the library', () => {
  test('when it is missing, names the package to install', () => {
    expect(() => loadLibvirt('libvirt-that-is-not-there.so.0')).toThrow(
      /Cannot load libvirt's client library .*'libvirt0' on Debian.*'libvirt-libs' on Fedora/s,
    );
  });

  test('binds a function on its first use only', () => {
    const libvirt = loadLibvirt();
    expect(Object.getOwnPropertyDescriptor(libvirt, 'virInitialize')?.get).toBeDefined();
    expect(libvirt.virInitialize()).toBe(0);
    expect(Object.getOwnPropertyDescriptor(libvirt, 'virInitialize')?.get).toBeUndefined();
  });

  test('that is another one lacks the functions, which is said when one is used', () => {
    const other = loadLibvirt('libc.so.6');
    expect(() => other.virInitialize()).toThrow(/too old: it has no virInitialize/);
  });
});

describe('an error number', () => {
  test.each([
    [1, 'INTERNAL_ERROR'],
    [42, 'NO_DOMAIN'],
    [55, 'OPERATION_INVALID'],
    [86, 'AGENT_UNRESPONSIVE'],
    [103, 'NO_DOMAIN_CHECKPOINT'],
    [104, 'NO_DOMAIN_BACKUP'],
    [109, 'CHECKPOINT_INCONSISTENT'],
  ])('%i is %s', (number, name) => {
    expect(errorCodeName(number)).toBe(name);
  });

  test('of a newer libvirt keeps its number', () => {
    expect(errorCodeName(4711)).toBe('UNKNOWN_4711');
  });
});
