import type { Duplex } from 'node:stream';
import { createSecureContext, createServer, type SecureContextOptions, type TLSSocket } from 'node:tls';
import { NbdServerError } from './errors.ts';

/** With it, no client gets past the handshake without TLS (1.2 or newer). */
export interface ServerTlsOptions {
  /** The server's certificate (PEM) and its chain. */
  cert: string | Uint8Array;
  /** Its private key (PEM). */
  key: string | Uint8Array;
  passphrase?: string;
  /** Authorities (PEM): with them, each client must show a certificate that one of them has signed. */
  ca?: string | Uint8Array;
}

/** Makes connections encrypted ones. */
export class ServerTls {
  readonly #options: SecureContextOptions;
  readonly #clients: boolean;

  /** @throws NbdServerError `USAGE` where certificate and key cannot be used */
  constructor(tls: ServerTlsOptions) {
    const { cert, key, ca, passphrase } = tls;
    this.#clients = ca !== undefined;
    this.#options = {
      cert: Buffer.from(cert),
      key: Buffer.from(key),
      minVersion: 'TLSv1.2',
      ...(ca !== undefined && { ca: Buffer.from(ca) }),
      ...(passphrase !== undefined && { passphrase }),
    };
    try {
      createSecureContext(this.#options);
    } catch (cause) {
      throw new NbdServerError('USAGE', 'TLS: the certificate, the key or the authorities cannot be used', { cause });
    }
  }

  /**
   * The server's side of the TLS handshake on a stream that nobody reads from. A time limit is the caller's, by destroying
   * the stream.
   *
   * @throws NbdServerError `TLS`
   */
  secure(stream: Duplex): Promise<TLSSocket> {
    // A server of its own, which never listens: it is node's only public way to have the client's certificate checked.
    const server = createServer({ ...this.#options, requestCert: this.#clients, rejectUnauthorized: this.#clients });
    return new Promise((resolve, reject) => {
      const fail = (cause?: Error) => {
        stream.destroy();
        const why = cause?.message ?? 'the client closed the connection';
        reject(new NbdServerError('TLS', `the TLS handshake with an NBD client failed: ${why}`, { cause }));
      };
      server.on('tlsClientError', fail);
      server.on('secureConnection', resolve);
      stream.once('close', () => fail());
      server.emit('connection', stream);
    });
  }
}
