import { expect, test } from 'vitest';
import { parseLibvirtUri, withoutUriParameter, withUriParameters } from '../src/index.ts';

test.for([
  ['qemu:///system', 'local', null],
  ['qemu:///session?socket=/run/x', 'local', null],
  ['qemu+unix:///system', 'local', null],
  ['qemu+ssh://root@hypervisor:2222/system', 'ssh', 'hypervisor'],
  ['qemu+ssh:///system?socket=/qemu+tls', 'ssh', null],
  ['qemu+libssh2://h/system', 'libssh', 'h'],
  ['qemu://h/system', 'tls', 'h'],
  ['qemu+tcp://[fe80::1]/system', 'tcp', 'fe80::1'],
  ['test:///default', 'local', null],
] as const)('%s is reached by %s', ([uri, transport, host]) => {
  expect(parseLibvirtUri(uri)).toMatchObject({ transport, host });
});

test('user, port and parameters are told apart and decoded', () => {
  const parts = parseLibvirtUri('qemu+ssh://a%40b@h:22/system?keyfile=/a%20b&no_tty=1');
  expect(parts).toMatchObject({ driver: 'qemu', user: 'a@b', port: 22, path: '/system' });
  expect([...parts.parameters]).toEqual([
    ['keyfile', '/a b'],
    ['no_tty', '1'],
  ]);
});

test('parameters are added and replaced', () => {
  expect(withUriParameters('qemu+ssh://h/system?command=a&no_tty=1', { command: '/b c' })).toBe(
    'qemu+ssh://h/system?no_tty=1&command=%2Fb%20c',
  );
});

test('a parameter is taken away', () => {
  expect(withoutUriParameter('qemu+ssh://h/system?a=1&command=x&b=2', 'command')).toBe('qemu+ssh://h/system?a=1&b=2');
  expect(withoutUriParameter('qemu+ssh://h/system?command=x', 'command')).toBe('qemu+ssh://h/system');
  expect(withoutUriParameter('qemu:///system', 'command')).toBe('qemu:///system');
});

test('an alias or another text is refused', () => {
  for (const text of ['hypervisor', 'qemu:/system', 'qemu+carrier://h/system'])
    expect(() => parseLibvirtUri(text)).toThrow('no libvirt URI');
});
