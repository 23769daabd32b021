import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatNbdUri, NbdError, type NbdUri, parseNbdUri } from '../src/index.ts';

const tcp = (host: string, port?: number) => ({ host, ...(port !== undefined && { port }) });
const plain = { exportName: '', secure: false };

describe('an NBD URI', () => {
  test.each<[string, NbdUri]>([
    // The examples of doc/uri.md.
    ['nbd://example.com:10809/export', { ...plain, address: tcp('example.com', 10_809), exportName: 'export' }],
    ['nbd+unix:///export?socket=nbd.sock', { ...plain, address: { path: 'nbd.sock' }, exportName: 'export' }],
    ['nbd://example.com/disk', { ...plain, address: tcp('example.com'), exportName: 'disk' }],
    ['nbd://example.com/', { ...plain, address: tcp('example.com') }],
    ['nbd://example.com', { ...plain, address: tcp('example.com') }],
    ['nbd://example.com//disk', { ...plain, address: tcp('example.com'), exportName: '/disk' }],
    ['nbd://example.com/hello%20world', { ...plain, address: tcp('example.com'), exportName: 'hello world' }],
    ['nbd+unix:///?socket=%00/abstract', { ...plain, address: { path: '\0/abstract' } }],
    // Odd ones that are lawful.
    ['NBD://example.com', { ...plain, address: tcp('example.com') }],
    ['nbd:///disk', { ...plain, address: tcp('localhost'), exportName: 'disk' }],
    ['nbd://[::1]:1/', { ...plain, address: tcp('::1', 1) }],
    ['nbd://h:/a/../b', { ...plain, address: tcp('h'), exportName: 'a/../b' }],
    ['nbd://h/a+b', { ...plain, address: tcp('h'), exportName: 'a+b' }],
    ['nbd://h/%E2%82%AC', { ...plain, address: tcp('h'), exportName: '€' }],
    ['nbd+unix://?socket=/run/a%26b', { ...plain, address: { path: '/run/a&b' } }],
    [
      'nbds://alice@h/?tls-type=psk&tls-psk-file=/k',
      { ...plain, secure: true, address: tcp('h'), user: 'alice', tlsPskFile: '/k' },
    ],
    [
      'nbds://h?tls-hostname=other&tls-verify-peer=1',
      { ...plain, secure: true, address: tcp('h'), tlsHostname: 'other' },
    ],
    [
      'nbds+unix:///?socket=s&tls-certificates=/c',
      { ...plain, secure: true, address: { path: 's' }, tlsCertificates: '/c' },
    ],
  ])('%s is taken apart', (uri, parts) => {
    expect(parseNbdUri(uri)).toEqual(parts);
  });

  test.each([
    ['', 'begins with none'],
    ['/run/nbd.sock', 'begins with none'],
    ['nbd:localhost:10809', 'begins with none'],
    ['http://example.com', 'begins with none'],
    ['nbd+vsock://1', 'begins with none'],
    ['nbd://h/a b', 'percent-encoded'],
    ['nbd://h/€', 'percent-encoded'],
    ['nbd://h/%', 'percent-encoded'],
    ['nbd://h/%zz', 'percent-encoded'],
    ['nbd://h/%ff', 'UTF-8'],
    ['nbd://h/a%00b', 'NUL'],
    [`nbd://h/${'x'.repeat(4097)}`, '4096'],
    ['nbd://h/a#b', 'percent-encoded'],
    ['nbd://h:0', 'port'],
    ['nbd://h:65536', 'port'],
    ['nbd://h:1x', 'host or port'],
    ['nbd://a:b:c', 'host or port'],
    ['nbd://[::1', 'host or port'],
    ['nbd://h?socket=/s', 'nbd+unix'],
    ['nbd+unix:///', 'socket'],
    ['nbd+unix:///?socket=', 'socket'],
    ['nbd+unix:///?socket=a%00b', 'NUL'],
    ['nbd+unix://host/?socket=s', 'three slashes'],
    ['nbd://h?what=1', 'what'],
    ['nbd://h?x-experiment=1', 'x-experiment'],
    ['nbds://h?tls-hostname=a&tls-hostname=b', 'twice'],
    ['nbd://h?tls-hostname=a', 'nbds'],
    ['nbds://h?tls-verify-peer=0', 'always verified'],
    ['nbds://h?tls-type=anon', 'tls-type'],
    ['nbds://h?tls-type=psk', 'tls-type'],
    ['nbds://h?tls-psk-file=/k&tls-certificates=/c', 'certificates'],
  ])('%s is refused with the reason', (uri, reason) => {
    const refusal = caught(() => parseNbdUri(uri));
    expect(refusal.code).toBe('USAGE');
    expect(refusal.message).toContain(reason);
  });

  test('comes back the same from its parts, whatever names they have', () => {
    const text = fc.string({ unit: 'binary', maxLength: 60 }).filter((it) => it.isWellFormed() && !it.includes('\0'));
    const named = text.filter((it) => it !== '');
    const address = fc.oneof(
      fc.record({ path: named }),
      fc.record({ host: fc.oneof(fc.domain(), fc.ipV4(), fc.ipV6()), port: fc.integer({ min: 1, max: 65_535 }) }),
      fc.record({ host: fc.domain() }),
    );
    fc.assert(
      fc.property(address, text, named, fc.constantFrom(0, 1, 2, 3), (place, exportName, name, kind) => {
        const secure = kind > 0;
        const uri: NbdUri = { address: place, exportName, secure };
        if (kind === 1) uri.tlsHostname = name;
        if (kind === 2) uri.tlsCertificates = name;
        if (kind === 3) uri.tlsPskFile = name;
        if (kind === 3 && 'host' in place) uri.user = name;
        expect(parseNbdUri(formatNbdUri(uri))).toEqual(uri);
      }),
    );
  });

  test('of any text is understood or refused, and nothing else', () => {
    const texts = fc.oneof(
      fc.string(),
      fc.string().map((it) => `nbd://${it}`),
      fc.webUrl().map((it) => it.replace('https', 'nbds')),
    );
    fc.assert(
      fc.property(texts, (uri) => {
        try {
          expect(parseNbdUri(formatNbdUri(parseNbdUri(uri)))).toEqual(parseNbdUri(uri));
        } catch (error) {
          if (!(error instanceof NbdError)) throw error;
          expect(error.code).toBe('USAGE');
        }
      }),
    );
  });

  test('cannot be made of broken Unicode', () => {
    const uri = { address: { host: 'h' }, exportName: '\ud800', secure: false };
    expect(caught(() => formatNbdUri(uri)).code).toBe('USAGE');
  });
});

function caught(call: () => unknown): NbdError {
  try {
    call();
  } catch (error) {
    if (error instanceof NbdError) return error;
    throw error;
  }
  throw new Error('it was not refused');
}
