import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { type ConnectionOptions, checkServerIdentity, connect, type PeerCertificate, type TLSSocket } from 'node:tls';
import type { NbdAddress } from './address.ts';
import { NbdError, printable } from './errors.ts';

/**
 * TLS of a connection. With it, the connection is encrypted or it fails: there is no fallback, no version below 1.2, and
 * no way to go without a check of the server.
 *
 * With `psk`, both sides prove that they know a key. Otherwise the server proves who it is by a certificate (x509), and the
 * client too where `cert` and `key` are given.
 */
export interface NbdTlsOptions {
  /** Certificates (PEM) of the authorities that may sign the server's; those that come with node unless told. */
  ca?: PemInput;
  /** The client's certificate (PEM) and its chain. */
  cert?: PemInput;
  /** The private key (PEM) of `cert`. */
  key?: PemInput;
  /** What the private key is encrypted with. */
  passphrase?: string;
  /** Revoked certificates (PEM). */
  crl?: PemInput;
  /** The name in the server's certificate; the address's host unless told. Must be told where the address has no host. */
  hostname?: string;
  /** A pre-shared key in place of certificates. */
  psk?: PreSharedKey;
}

/** PEM text, as a string or as bytes. */
export type PemInput = string | Uint8Array;

/** A key that the server knows under a name. */
export interface PreSharedKey {
  /** The user's name in the server's file of keys. */
  identity: string;
  /** At least 16 bytes. */
  key: Uint8Array;
}

/** TLS 1.2 suites with a pre-shared key and forward secrecy, and for TLS 1.3 the one whose hash such keys go with. */
const PSK_CIPHERS = 'TLS_AES_128_GCM_SHA256:kECDHEPSK:kDHEPSK:!eNULL';
const SHORTEST_KEY = 16;

/** @throws NbdError `USAGE` where the options cannot be: nothing is sent before they are known to be possible */
export function checkTlsOptions(tls: NbdTlsOptions, address: NbdAddress): void {
  if (tls.psk !== undefined) {
    const mixed = tls.ca ?? tls.cert ?? tls.key ?? tls.crl;
    if (mixed !== undefined) throw new NbdError('USAGE', 'TLS: a pre-shared key or certificates, not both');
    if (tls.psk.key.byteLength < SHORTEST_KEY) {
      throw new NbdError('USAGE', `TLS: a pre-shared key of ${tls.psk.key.byteLength} bytes; ${SHORTEST_KEY} at least`);
    }
    return;
  }
  if ((tls.cert === undefined) !== (tls.key === undefined)) {
    throw new NbdError('USAGE', 'TLS: a client certificate and its private key go together; one of them is missing');
  }
  if (expectedName(tls, address) === undefined) {
    throw new NbdError('USAGE', 'TLS: tell the name in the server certificate (hostname): the address has none');
  }
}

/**
 * The TLS handshake, over a stream on which the server has agreed to NBD_OPT_STARTTLS.
 *
 * @throws NbdError `TLS`, with the cause; the signal's reason when it aborts. The stream is destroyed then
 */
export async function secureStream(
  stream: Duplex,
  tls: NbdTlsOptions,
  address: NbdAddress,
  signal: AbortSignal,
): Promise<TLSSocket> {
  const socket = begin({ socket: stream, minVersion: 'TLSv1.2', rejectUnauthorized: true, ...settings(tls, address) });
  await new Promise<void>((resolve, reject) => {
    const abort = () => {
      socket.destroy();
      reject(signal.reason);
    };
    const settle = (then: () => void) => {
      signal.removeEventListener('abort', abort);
      then();
    };
    // Stays: an error after the handshake is the transport's, which hears of it too.
    socket.on('error', (cause) => settle(() => reject(tlsError(cause))));
    socket.once('close', () => settle(() => reject(tlsError(new Error('the server closed the connection')))));
    socket.once('secureConnect', () => settle(resolve));
    signal.addEventListener('abort', abort, { once: true });
  });
  return socket;
}

function begin(options: ConnectionOptions): TLSSocket {
  try {
    return connect(options);
  } catch (cause) {
    options.socket?.destroy();
    throw new NbdError('USAGE', 'TLS: the certificates or keys cannot be used', { cause });
  }
}

function settings(tls: NbdTlsOptions, address: NbdAddress): ConnectionOptions {
  const { psk } = tls;
  if (psk !== undefined) {
    return {
      ciphers: PSK_CIPHERS,
      pskCallback: () => ({ psk: psk.key, identity: psk.identity }),
      // TLS 1.3 lets a server that does not know the key answer with a certificate: of anybody, so it proves nothing.
      checkServerIdentity: (_name, certificate) =>
        isEmpty(certificate) ? undefined : new Error('the server showed a certificate, not that it knows the key'),
    };
  }
  const name = expectedName(tls, address) ?? '';
  const { ca, cert, key, crl, passphrase } = tls;
  return {
    ...(ca !== undefined && { ca: pem(ca) }),
    ...(cert !== undefined && { cert: pem(cert) }),
    ...(key !== undefined && { key: pem(key) }),
    ...(crl !== undefined && { crl: pem(crl) }),
    ...(passphrase !== undefined && { passphrase }),
    ...(isIP(name) === 0 && { servername: name }),
    checkServerIdentity: (_name, certificate) => checkServerIdentity(name, certificate),
  };
}

function expectedName(tls: NbdTlsOptions, address: NbdAddress): string | undefined {
  const name = tls.hostname ?? ('host' in address ? address.host : '');
  return name === '' ? undefined : name;
}

function pem(input: PemInput): string | Buffer {
  return typeof input === 'string' ? input : Buffer.from(input);
}

function isEmpty(certificate: PeerCertificate | undefined): boolean {
  return certificate === undefined || Object.keys(certificate).length === 0;
}

/** With TLS 1.3 the server judges a client when that takes the handshake for done: the connection just ends. */
export function endedUnderTls({ cert, psk }: NbdTlsOptions, cause: Error | undefined): NbdError {
  const known = cert ?? psk;
  const why =
    known === undefined ? 'no client certificate was shown: it may want one (cert, key)' : 'it may not know us';
  return new NbdError('TLS', `the NBD server closed the connection as soon as it was encrypted; ${why}`, { cause });
}

function tlsError(cause: Error & { code?: string }): NbdError {
  const advice = ADVICE.get(cause.code ?? '');
  const said = printable(cause.message).replace(NODE_ADVICE, '');
  const message = `TLS with the NBD server failed: ${said}`;
  return new NbdError('TLS', advice === undefined ? message : `${message}; ${advice}`, { cause });
}

/** What node adds, which is about node's own options. */
const NODE_ADVICE = /; if the root CA is installed locally.*$/;
const UNTRUSTED = 'pass the certificate of the authority that signed it (ca)';
const ADVICE: ReadonlyMap<string, string> = new Map([
  ['SELF_SIGNED_CERT_IN_CHAIN', UNTRUSTED],
  ['DEPTH_ZERO_SELF_SIGNED_CERT', UNTRUSTED],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', UNTRUSTED],
  ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', UNTRUSTED],
  ['ERR_TLS_CERT_ALTNAME_INVALID', 'tell the name that its certificate has (hostname)'],
]);
