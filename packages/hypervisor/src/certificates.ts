import { join } from 'node:path';
import { HostError, type HostFiles } from '@virtnbd/host';
import type { NbdTlsOptions } from '@virtnbd/nbd-client';
import { HypervisorError } from './errors.ts';

const LARGEST = 1 << 20;

/**
 * Reads a folder of certificates as qemu and libvirt lay it out: `ca-cert.pem`, and where the server wants to know its
 * clients `client-cert.pem` and `client-key.pem`.
 *
 * @throws HypervisorError CERTIFICATES
 */
export async function readCertificates(files: HostFiles, folder: string): Promise<NbdTlsOptions> {
  const read = async (name: string): Promise<Uint8Array | undefined> => {
    try {
      return await files.readSmall(join(folder, name), LARGEST);
    } catch (cause) {
      if (cause instanceof HostError && cause.code === 'NOT_FOUND') return undefined;
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new HypervisorError('CERTIFICATES', `the TLS certificates cannot be read: ${why}`, { cause });
    }
  };
  const [ca, cert, key] = [await read('ca-cert.pem'), await read('client-cert.pem'), await read('client-key.pem')];
  if (ca === undefined) {
    const text = `${join(folder, 'ca-cert.pem')} is missing: the authority that signed the server's certificate; name its folder with --tls-cert`;
    throw new HypervisorError('CERTIFICATES', text);
  }
  if ((cert === undefined) !== (key === undefined)) {
    const text = `${folder} has only one of client-cert.pem and client-key.pem; they go together`;
    throw new HypervisorError('CERTIFICATES', text);
  }
  return { ca, ...(cert !== undefined && key !== undefined && { cert, key }) };
}
