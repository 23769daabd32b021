import { userInfo } from 'node:os';
import type { NbdAddress } from './address.ts';
import { NbdError } from './errors.ts';
import type { ConnectOptions } from './options.ts';
import type { NbdTlsOptions, PreSharedKey } from './tls.ts';
import { type NbdUri, parseNbdUri } from './uri.ts';

/** Options of connecting to a URI, which has the export's name and whether to encrypt. */
export interface UriOptions extends Omit<ConnectOptions, 'exportName' | 'tls'> {
  /** Reads a file that the URI names, such as `readFile` of `node:fs/promises`: this package opens no files. */
  readFile?: (path: string) => Promise<Uint8Array>;
}

/** What {@link NbdClient.connect} needs, from a URI and the files that it names. */
export async function uriConnection(
  text: string,
  { readFile }: Pick<UriOptions, 'readFile'>,
): Promise<{ address: NbdAddress; exportName: string; tls?: NbdTlsOptions }> {
  const uri = parseNbdUri(text);
  const { address, exportName } = uri;
  if (!uri.secure) return { address, exportName };
  const files = new Files(readFile);
  const hostname = uri.tlsHostname === undefined ? {} : { hostname: uri.tlsHostname };
  if (uri.tlsPskFile !== undefined) return { address, exportName, tls: { psk: await files.key(uri, uri.tlsPskFile) } };
  const certificates = uri.tlsCertificates === undefined ? {} : await files.certificates(uri.tlsCertificates);
  return { address, exportName, tls: { ...certificates, ...hostname } };
}

class Files {
  readonly #readFile: UriOptions['readFile'];

  constructor(readFile: UriOptions['readFile']) {
    this.#readFile = readFile;
  }

  /** The names that libnbd and qemu give to the files of a client. */
  async certificates(folder: string): Promise<NbdTlsOptions> {
    const [ca, cert, key, crl] = await Promise.all([
      this.#read(`${folder}/ca-cert.pem`),
      this.#readIfThere(`${folder}/client-cert.pem`),
      this.#readIfThere(`${folder}/client-key.pem`),
      this.#readIfThere(`${folder}/ca-crl.pem`),
    ]);
    return {
      ca,
      ...(cert !== undefined && { cert }),
      ...(key !== undefined && { key }),
      ...(crl !== undefined && { crl }),
    };
  }

  /** A line `user:key` (hex), as psktool writes it. Whose: the URI says; else the process's user; else the only one. */
  async key({ user }: NbdUri, path: string): Promise<PreSharedKey> {
    const lines = Buffer.from(await this.#read(path))
      .toString('utf8')
      .split(/\r?\n/);
    const keys = new Map(lines.flatMap((line) => parseKey(line)));
    const only = keys.size === 1 ? [...keys.keys()] : [];
    const names = user === undefined ? [userInfo().username, ...only] : [user];
    const identity = names.find((name) => keys.has(name));
    const key = identity === undefined ? undefined : keys.get(identity);
    if (identity === undefined || key === undefined) {
      throw new NbdError(
        'USAGE',
        `${path} has no key of ${names[0] ?? 'this user'}; name the user in the URI (user@host)`,
      );
    }
    return { identity, key };
  }

  async #read(path: string): Promise<Uint8Array> {
    if (this.#readFile === undefined) {
      throw new NbdError(
        'USAGE',
        `the NBD URI names the file ${path}: pass readFile, or read it and use connect with tls`,
      );
    }
    try {
      return await this.#readFile(path);
    } catch (cause) {
      throw new NbdError('USAGE', `${path}, which the NBD URI names, cannot be read`, { cause });
    }
  }

  async #readIfThere(path: string): Promise<Uint8Array | undefined> {
    try {
      return await this.#read(path);
    } catch (error) {
      if (error instanceof NbdError && isAbsent(error.cause)) return undefined;
      throw error;
    }
  }
}

function isAbsent(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}

function parseKey(line: string): [string, Uint8Array][] {
  const colon = line.lastIndexOf(':');
  const key = line.slice(colon + 1).trim();
  if (colon < 1 || line.startsWith('#') || !/^(?:[0-9a-f]{2})+$/i.test(key)) return [];
  return [[line.slice(0, colon), Buffer.from(key, 'hex')]];
}
