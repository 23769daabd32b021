import { expect, test } from 'vitest';
import { planTransfer, transferWarning } from '../src/transfer.ts';

test('over ssh and on this host the blocks take the socket, unless an address, a port or TLS is asked for', () => {
  for (const transport of ['local', 'ssh', 'libssh'] as const) {
    expect(planTransfer({ transport, host: 'h' }, {})).toBeUndefined();
    expect(planTransfer({ transport, host: 'h' }, { port: 1 })?.transfer).toEqual({
      listen: 'h',
      connect: 'h',
      port: 1,
    });
    expect(planTransfer({ transport, host: 'h' }, { tls: true })).toMatchObject({ secure: true, serverName: 'h' });
  }
});

test('over tls and tcp they come over the network in any case', () => {
  for (const transport of ['tls', 'tcp'] as const)
    expect(planTransfer({ transport, host: 'h' }, {})?.transfer).toEqual({ listen: 'h', connect: 'h', port: 10809 });
});

test('a wildcard address is listened on, and the host of the URI is connected to', () => {
  const plan = planTransfer({ transport: 'ssh', host: 'h' }, { address: '0.0.0.0', tls: true, tlsHostname: 'n' });
  expect(plan).toMatchObject({ transfer: { listen: '0.0.0.0', connect: 'h' }, serverName: 'n' });
});

test('plain text is warned of unless it stays on this host', () => {
  expect(transferWarning({ listen: 'h', port: 1 }, false)).toContain('unencrypted');
  expect(transferWarning({ listen: 'h', port: 1 }, true)).toBeNull();
  for (const listen of ['127.0.0.1', '127.9.9.9', '::1', 'localhost'])
    expect(transferWarning({ listen, port: 1 }, false)).toBeNull();
  expect(transferWarning({ listen: '127.0.0.1.example.org', port: 1 }, false)).toContain('unencrypted');
});

test('a host name to verify without TLS is refused', () => {
  expect(() => planTransfer({ transport: 'ssh', host: 'h' }, { tlsHostname: 'n' })).toThrow('--tls');
});
