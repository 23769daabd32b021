import { NBD_MAX_STRING } from '@virtnbd/nbd-protocol';
import type { NbdAddress } from './address.ts';
import { NbdError } from './errors.ts';

/** An NBD URI in its parts: doc/uri.md of the NBD project, and libnbd's two parameters that name files. */
export interface NbdUri {
  address: Exclude<NbdAddress, { stream: unknown }>;
  /** Empty for the server's default export. */
  exportName: string;
  /** nbds or nbds+unix: encrypted, or no connection. */
  secure: boolean;
  /** The user of a pre-shared key (userinfo). */
  user?: string;
  /** The name in the server's certificate (tls-hostname). */
  tlsHostname?: string;
  /** The folder that has ca-cert.pem and, where the client has one, client-cert.pem and client-key.pem (tls-certificates). */
  tlsCertificates?: string;
  /** The file of pre-shared keys (tls-psk-file). */
  tlsPskFile?: string;
}

/** RFC 3986: scheme, authority, path, query. A fragment has no meaning here. */
const URI = /^([a-z][a-z0-9+.-]*):\/\/([^/?#]*)([^?#]*)(?:\?([^#]*))?$/i;
const URI_CHARACTERS = /^(?:[a-z0-9\-._~:/?@!$&'()*+,;=[\]]|%[0-9a-f]{2})*$/i;
const AUTHORITY = /^(?:([^@]*)@)?(\[[^\]]*\]|[^:[\]]*)(?::([0-9]*))?$/;

const SCHEMES: ReadonlyMap<string, { unix: boolean; secure: boolean }> = new Map([
  ['nbd', { unix: false, secure: false }],
  ['nbds', { unix: false, secure: true }],
  ['nbd+unix', { unix: true, secure: false }],
  ['nbds+unix', { unix: true, secure: true }],
]);

const PARAMETERS = ['socket', 'tls-type', 'tls-hostname', 'tls-verify-peer', 'tls-certificates', 'tls-psk-file'];

/**
 * Takes an NBD URI apart. `nbd` is never encrypted and `nbds` always: there is no encryption "if possible", which anybody on
 * the way could switch off. What a URI says and this client would not do is an error.
 *
 * @throws NbdError `USAGE`, naming what is wrong
 */
export function parseNbdUri(uri: string): NbdUri {
  if (!URI_CHARACTERS.test(uri)) throw invalid(uri, 'it has characters that must be percent-encoded');
  const [, schemeName = '', authority = '', path = '', query] = URI.exec(uri) ?? [];
  const scheme = SCHEMES.get(schemeName.toLowerCase());
  if (scheme === undefined) throw invalid(uri, `it begins with none of ${[...SCHEMES.keys()].join('://, ')}://`);
  const parameters = parseQuery(uri, query);
  const { user, address } = scheme.unix
    ? unixAddress(uri, authority, parameters)
    : tcpAddress(uri, authority, parameters);
  const exportName = decode(uri, path.slice(1));
  if (exportName.includes('\0')) throw invalid(uri, 'its export name has a NUL');
  if (Buffer.byteLength(exportName) > NBD_MAX_STRING) throw invalid(uri, 'its export name is longer than 4096 bytes');
  const { secure } = scheme;
  return {
    address,
    exportName,
    secure,
    ...(user !== undefined && { user }),
    ...tlsParameters(uri, secure, parameters),
  };
}

/** The URI that {@link parseNbdUri} takes apart into the same. */
export function formatNbdUri(uri: NbdUri): string {
  const { address, user, tlsHostname, tlsCertificates, tlsPskFile } = uri;
  const scheme = `nbd${uri.secure ? 's' : ''}${'path' in address ? '+unix' : ''}`;
  const userinfo = user === undefined ? '' : `${encode(user)}@`;
  const authority = 'path' in address ? '' : `${userinfo}${host(address.host)}${port(address.port)}`;
  const parameters = [
    ['socket', 'path' in address ? address.path : undefined],
    ['tls-hostname', tlsHostname],
    ['tls-certificates', tlsCertificates],
    ['tls-psk-file', tlsPskFile],
  ].flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${encode(value)}`]));
  const query = parameters.length === 0 ? '' : `?${parameters.join('&')}`;
  return `${scheme}://${authority}/${encode(uri.exportName)}${query}`;
}

function parseQuery(uri: string, query: string | undefined): Map<string, string> {
  const parameters = new Map<string, string>();
  for (const item of (query ?? '').split('&').filter((text) => text !== '')) {
    const equals = item.indexOf('=');
    const name = decode(uri, equals < 0 ? item : item.slice(0, equals));
    if (!PARAMETERS.includes(name)) throw invalid(uri, `it has a parameter that is not known: ${JSON.stringify(name)}`);
    if (parameters.has(name)) throw invalid(uri, `it has the parameter ${name} twice`);
    parameters.set(name, equals < 0 ? '' : decode(uri, item.slice(equals + 1)));
  }
  return parameters;
}

interface Place {
  address: NbdUri['address'];
  user?: string;
}

function unixAddress(uri: string, authority: string, parameters: ReadonlyMap<string, string>): Place {
  const path = parameters.get('socket') ?? '';
  if (path === '') throw invalid(uri, 'its parameter socket, the path of the unix socket, is missing');
  if (path.indexOf('\0', 1) >= 0 || path === '\0') throw invalid(uri, 'its socket has a NUL');
  if (authority !== '') throw invalid(uri, 'a unix socket has no host: it must begin with three slashes');
  return { address: { path } };
}

function tcpAddress(uri: string, authority: string, parameters: ReadonlyMap<string, string>): Place {
  if (parameters.has('socket')) throw invalid(uri, 'a socket goes with nbd+unix:// or nbds+unix:// only');
  const parts = AUTHORITY.exec(authority);
  if (parts === null) throw invalid(uri, 'its host or port is wrong');
  const [, user, rawHost = '', rawPort = ''] = parts;
  const port = rawPort === '' ? undefined : Number(rawPort);
  if (port !== undefined && (port < 1 || port > 65_535)) throw invalid(uri, `there is no port ${rawPort}`);
  const host = rawHost.startsWith('[') ? rawHost.slice(1, -1) : decode(uri, rawHost);
  const address = { host: host === '' ? 'localhost' : host, ...(port !== undefined && { port }) };
  return { address, ...(user !== undefined && { user: decode(uri, user) }) };
}

function tlsParameters(uri: string, secure: boolean, parameters: ReadonlyMap<string, string>): Partial<NbdUri> {
  const named = [...parameters.keys()].find((name) => name.startsWith('tls-'));
  if (!secure && named !== undefined) throw invalid(uri, `${named} goes with an encrypted scheme (nbds) only`);
  const type = parameters.get('tls-type');
  const psk = parameters.get('tls-psk-file');
  const certificates = parameters.get('tls-certificates');
  const hostname = parameters.get('tls-hostname');
  if (psk !== undefined && certificates !== undefined) throw invalid(uri, 'it names certificates and a file of keys');
  if (type !== undefined && type !== (psk === undefined ? 'x509' : 'psk')) {
    throw invalid(uri, `tls-type=${type} is not possible, or does not go with its other parameters`);
  }
  if ((parameters.get('tls-verify-peer') ?? '1') !== '1') {
    throw invalid(uri, 'the server is always verified: name its authority in tls-certificates instead');
  }
  return {
    ...(hostname !== undefined && { tlsHostname: hostname }),
    ...(certificates !== undefined && { tlsCertificates: certificates }),
    ...(psk !== undefined && { tlsPskFile: psk }),
  };
}

function host(name: string): string {
  return name.includes(':') ? `[${name}]` : encode(name);
}

function port(number: number | undefined): string {
  return number === undefined ? '' : `:${number}`;
}

function decode(uri: string, text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw invalid(uri, 'its percent-encoding is no UTF-8');
  }
}

/** Slashes stay: they mean nothing in a path that is a name, or in a query. */
function encode(text: string): string {
  try {
    return encodeURIComponent(text).replaceAll('%2F', '/');
  } catch (cause) {
    throw new NbdError('USAGE', 'a part of the NBD URI is no Unicode text', { cause });
  }
}

function invalid(uri: string, why: string): NbdError {
  return new NbdError('USAGE', `not an NBD URI that this client can follow: ${JSON.stringify(uri)}: ${why}`);
}
