import { expect, test } from 'vitest';
import { tpmStateFolder } from '../src/index.ts';

test.each([
  ['qemu:///system', '/var/lib/libvirt/swtpm/U'],
  ['qemu+ssh://root@host/system?command=/session', '/var/lib/libvirt/swtpm/U'],
  ['qemu:///session', '/home/me/.config/libvirt/qemu/swtpm/U'],
  ['qemu:///session?socket=/run/x', '/home/me/.config/libvirt/qemu/swtpm/U'],
])('the state of a TPM of %s is in %s', (uri, expected) => {
  expect(tpmStateFolder({}, 'U', uri, { HOME: '/home/me' })).toBe(expected);
});

test('a folder that the domain names is the one', () => {
  expect(tpmStateFolder({ tpmStateFolder: '/tpm' }, 'U', 'qemu:///system', {})).toBe('/tpm');
});
