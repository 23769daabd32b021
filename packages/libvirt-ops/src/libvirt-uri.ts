import { LibvirtError, OwnErrorCode } from './errors.ts';

/**
 * How a connection reaches its daemon. `local`: this host, by a unix socket or within the process; `ssh` by the ssh program;
 * `libssh` by a library within libvirt; `tls` and `tcp` by the daemon's own port.
 */
export type LibvirtTransport = 'local' | 'ssh' | 'libssh' | 'tls' | 'tcp' | 'ext';

/** A libvirt URI in its parts (libvirt.org/uri.html). */
export interface LibvirtUri {
  readonly driver: string;
  readonly transport: LibvirtTransport;
  /** null where it names none: the daemon is on this host. */
  readonly host: string | null;
  readonly user: string | null;
  readonly port: number | null;
  /** `/system`, `/session`. */
  readonly path: string;
  readonly parameters: ReadonlyMap<string, string>;
}

const URI =
  /^([a-z][a-z0-9-]*)(?:\+([a-z0-9]+))?:\/\/(?:([^@/?#]*)@)?(\[[^\]]*\]|[^:/?#]*)(?::(\d+))?([^?#]*)(?:\?([^#]*))?$/i;

const TRANSPORTS: Readonly<Record<string, LibvirtTransport>> = {
  unix: 'local',
  ssh: 'ssh',
  libssh: 'libssh',
  libssh2: 'libssh',
  tls: 'tls',
  tcp: 'tcp',
  ext: 'ext',
};

/**
 * Takes a URI apart by libvirt's own rules: without a transport it is TLS where a host is named, and this host where none
 * is. An alias of libvirt's configuration is no URI: ask `realUri` of a connection.
 *
 * @throws LibvirtError INVALID_ARG
 */
export function parseLibvirtUri(uri: string): LibvirtUri {
  const [, driver, scheme, user, rawHost = '', port, path = '', query = ''] = URI.exec(uri) ?? [];
  const transport = scheme === undefined ? (rawHost === '' ? 'local' : 'tls') : TRANSPORTS[scheme.toLowerCase()];
  if (driver === undefined || transport === undefined) throw invalid(uri);
  const host = rawHost.startsWith('[') ? rawHost.slice(1, -1) : rawHost;
  return {
    driver: driver.toLowerCase(),
    transport,
    host: host === '' ? null : host,
    user: user === undefined || user === '' ? null : decode(uri, user),
    port: port === undefined ? null : Number(port),
    path,
    parameters: new Map(
      query
        .split('&')
        .filter((item) => item !== '')
        .map((item) => parameter(uri, item)),
    ),
  };
}

/** The same URI without this parameter. */
export function withoutUriParameter(uri: string, name: string): string {
  const [base = '', query = ''] = uri.split('?', 2);
  const kept = query.split('&').filter((item) => item !== '' && item.split('=')[0] !== name);
  return kept.length === 0 ? base : `${base}?${kept.join('&')}`;
}

/** The same URI with these parameters added, or set anew. */
export function withUriParameters(uri: string, parameters: Readonly<Record<string, string>>): string {
  const [base = '', query = ''] = uri.split('?', 2);
  const kept = query.split('&').filter((item) => item !== '' && !((item.split('=')[0] ?? '') in parameters));
  const added = Object.entries(parameters).map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
  return `${base}?${[...kept, ...added].join('&')}`;
}

function parameter(uri: string, item: string): [string, string] {
  const equals = item.indexOf('=');
  return equals < 0 ? [item, ''] : [item.slice(0, equals), decode(uri, item.slice(equals + 1))];
}

function decode(uri: string, text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw invalid(uri);
  }
}

function invalid(uri: string): LibvirtError {
  const text = `${JSON.stringify(uri)} is no libvirt URI; such are qemu:///system and qemu+ssh://user@host/system`;
  return new LibvirtError(OwnErrorCode.invalidArgument, text);
}
