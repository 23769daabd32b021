import { LibvirtError, OwnErrorCode } from './errors.ts';
import { parseLibvirtUri } from './libvirt-uri.ts';

/** Codes that say more than "no connection" and are kept when opening fails. */
const KEPT: ReadonlySet<string> = new Set([
  OwnErrorCode.libraryMissing,
  OwnErrorCode.invalidArgument,
  OwnErrorCode.closed,
  'NO_SUPPORT',
  'AUTH_FAILED',
  'AUTH_CANCELLED',
  'AUTH_UNAVAILABLE',
  'ACCESS_DENIED',
]);

/** Without the program that we gave libvirt in ssh's place: it is gone when the user tries the URI. */
function shown(uri: string): string {
  return uri.replace(/([?&])command=[^&]*virtnbd-ssh[^&]*(&|$)/, (_all, before, after) =>
    after === '&' ? before : '',
  );
}

/** What libvirt says when opening fails, with what to look at. */
export function connectError(realUri: string, error: unknown): unknown {
  const uri = shown(realUri);
  if (!(error instanceof LibvirtError)) return error;
  if (error.libvirtCode === undefined) return error;
  const code = KEPT.has(error.code) && error.code !== OwnErrorCode.invalidArgument ? error.code : OwnErrorCode.connect;
  const hint = hintFor(code, uri, error.message);
  return new LibvirtError(code, `Cannot connect to libvirt at ${uri}: ${error.message}. ${hint}`, {
    libvirtCode: error.libvirtCode,
    libvirtDomain: error.libvirtDomain,
    call: error.call,
    cause: error,
  });
}

function hintFor(code: string, uri: string, said: string): string {
  const check = `Check with: virsh -c '${uri}' version`;
  // libvirt has one code for a certificate and for a password that is not right.
  const isLogin = code !== OwnErrorCode.connect && !/certificate/i.test(said);
  if (isLogin) return authenticationHint();
  const tls = tlsHint(uri);
  return tls === null ? connectHint(uri, check) : `${tls} ${check}`;
}

/** With TLS it is the certificates that open a daemon, and libvirt tells which one it does not like on standard error only. */
function tlsHint(uri: string): string | null {
  if (!uri.includes('://')) return null; // an alias of libvirt's configuration
  const { transport, host, parameters } = parseLibvirtUri(uri);
  if (transport !== 'tls') return null;
  const folder = parameters.get('pkipath');
  const [authority, own] = folder === undefined ? ['/etc/pki/CA', '/etc/pki/libvirt'] : [folder, folder];
  return (
    `What must hold: the daemon listens with TLS; its certificate is signed by ${authority}/cacert.pem, valid and made out to ` +
    `${host}; ${own}/clientcert.pem is signed by an authority that the daemon knows. Where libvirt says no more, it has warned above.`
  );
}

function connectHint(uri: string, check: string): string {
  if (/^[a-z]+\+/.test(uri)) {
    return `Is the host reachable, does libvirt run there, and may this user log in to it? ${check}`;
  }
  if (uri.includes('/session')) {
    return `The session daemon starts by itself for an ordinary user; is package libvirt-daemon (libvirtd) installed? ${check}`;
  }
  return (
    'Is the daemon running (systemctl start libvirtd, or virtqemud where libvirt is modular)? ' +
    `May this user connect (root, or a member of group libvirt)? Is the URI right? ${check}`
  );
}

function authenticationHint(): string {
  return 'Give a user and password that the daemon knows, or connect as root or as a member of group libvirt.';
}
