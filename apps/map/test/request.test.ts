import { UsageError } from '@virtnbd/cli-kit';
import { expect, test } from 'vitest';
import { type MapFlags, requestOf, type Surroundings } from '../src/request.ts';

const none: MapFlags = {
  file: undefined,
  input: undefined,
  disk: undefined,
  until: undefined,
  mount: undefined,
  partition: undefined,
  device: undefined,
  socket: undefined,
  listen: undefined,
  'listen-address': undefined,
  'listen-port': undefined,
  'export-name': undefined,
  readonly: false,
  overlay: undefined,
  scratchdir: '/var/tmp',
  once: false,
  tls: false,
  'tls-cert': '/etc/pki/qemu/',
  blocksize: undefined,
  threads: undefined,
  hexdump: false,
  logfile: '/tmp/log',
};
const user: Surroundings = { root: false, nbdDevices: false, runtimeFolder: '/run/user/1000' };
const rootWithNbd: Surroundings = { root: true, nbdDevices: true, runtimeFolder: undefined };

const request = (flags: Partial<MapFlags>, surroundings = user) => requestOf({ ...none, ...flags }, surroundings);

test('files by hand are an export sda on a private socket, whose writes are thrown away', () => {
  expect(request({ file: '/b/vda.full.data,/b/vda.inc.virtnbdbackup.1.data' })).toMatchObject({
    disks: { kind: 'files', files: ['/b/vda.full.data', '/b/vda.inc.virtnbdbackup.1.data'] },
    exportName: 'sda',
    overlay: { kind: 'temporary', folder: '/var/tmp' },
    address: 'private',
    runtimeFolder: '/run/user/1000',
    attach: undefined,
  });
});

test('as root, and where the kernel has NBD devices, /dev/nbd0 is meant, as with the established command', () => {
  const device = { kind: 'device', device: '/dev/nbd0' };
  expect(request({ file: '/b/f' }, rootWithNbd).attach).toEqual(device);
  const withPort = request({ file: '/b/f', 'listen-port': 1 }, rootWithNbd);
  expect(withPort).toMatchObject({ attach: device, address: { port: 1 }, overlay: { kind: 'temporary' } });
  expect(request({ input: '/b', socket: '/s' }, rootWithNbd).attach).toBeUndefined();
  expect(request({ input: '/b', listen: ':1' }, rootWithNbd).attach).toBeUndefined();
  expect(request({ input: '/b' }, { ...rootWithNbd, nbdDevices: false }).attach).toBeUndefined();
});

test('an option that stands alone is a mount, or a device', () => {
  expect(request({ input: '/b', mount: '/m', partition: '2' }).attach).toEqual({
    kind: 'mount',
    target: '/m',
    partition: '2',
  });
  expect(request({ input: '/b', device: 'auto' }).attach).toEqual({ kind: 'device', device: 'auto' });
});

test.each([
  ['127.0.0.1:10809', { host: '127.0.0.1', port: 10_809 }],
  ['[::1]:1', { host: '::1', port: 1 }],
  ['server', { host: 'server' }],
  [':5', { port: 5 }],
])('--listen %s is understood', (listen, address) => {
  expect(request({ input: '/b', listen }).address).toEqual(address);
});

test('who listens on a port lets nobody write, unless an overlay is named', () => {
  expect(request({ input: '/b', listen: ':5' }).overlay).toBeUndefined();
  expect(request({ input: '/b', listen: ':5', overlay: '/o' }).overlay).toEqual({ kind: 'kept', path: '/o' });
  expect(request({ input: '/b', readonly: true }).overlay).toBeUndefined();
});

test.each<[string, Partial<MapFlags>]>([
  ['a folder and files', { input: '/b', file: '/f' }],
  ['files and a point', { file: '/f', until: 'latest' }],
  ['a socket and a port', { input: '/b', socket: '/s', 'listen-port': 1 }],
  ['two ways to name a port', { input: '/b', listen: ':1', 'listen-address': '::' }],
  ['a mount and a device', { input: '/b', mount: '/m', device: 'auto' }],
  ['an overlay of what cannot be written', { input: '/b', readonly: true, overlay: '/o' }],
  ['a partition without a mount', { input: '/b', partition: '1' }],
  ['TLS on a unix socket', { input: '/b', tls: true, socket: '/s' }],
  ['TLS for a device', { input: '/b', tls: true, listen: ':1', device: 'auto' }],
  ['an address that is none', { input: '/b', listen: '1:2:3' }],
  ['a port that is none', { input: '/b', listen: ':70000' }],
])('%s exclude each other, or mean nothing', (_what, flags) => {
  expect(() => request(flags)).toThrow(UsageError);
});
