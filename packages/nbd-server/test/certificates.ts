import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run, type TempFolder, tempFolder } from '@virtnbd/test-kit';

/** A folder as nbdinfo and qemu want it, made by certtool: an authority, a server, a client. */
export interface Certificates extends AsyncDisposable {
  readonly folder: string;
  /** A file of the folder: `ca-cert.pem`, `server-cert.pem`, `client-key.pem` … */
  pem(file: string): Promise<string>;
}

/** The names in the server's certificate, besides 127.0.0.1. */
export const SERVER_NAME = 'nbd.example.org';

const AUTHORITY = ['cn = Test authority', 'ca', 'cert_signing_key', 'crl_signing_key'];
const SERVER = [`cn = ${SERVER_NAME}`, `dns_name = ${SERVER_NAME}`, 'ip_address = 127.0.0.1', 'tls_www_server'];
const CLIENT = ['cn = client.example.org', 'tls_www_client'];

export async function makeCertificates(): Promise<Certificates> {
  const temp: TempFolder = await tempFolder();
  const at = (file: string) => join(temp.path, file);
  const sign = async (name: string, template: readonly string[], authority: boolean) => {
    await writeFile(at(`${name}.info`), [...template, 'signing_key', 'encryption_key', ''].join('\n'));
    const key = at(`${name}-key.pem`);
    await run('certtool', ['--generate-privkey', '--key-type=ecdsa', '--curve=secp256r1', '--outfile', key]);
    const ca = ['--load-ca-certificate', at('ca-cert.pem'), '--load-ca-privkey', at('ca-key.pem')];
    const how = authority ? ['--generate-self-signed'] : ['--generate-certificate', ...ca];
    const files = ['--load-privkey', key, '--template', at(`${name}.info`), '--outfile', at(`${name}-cert.pem`)];
    await run('certtool', [...how, ...files]);
  };
  await sign('ca', AUTHORITY, true);
  await sign('server', SERVER, false);
  await sign('client', CLIENT, false);
  return {
    folder: temp.path,
    pem: (file) => readFile(at(file), 'utf8'),
    [Symbol.asyncDispose]: () => temp.remove(),
  };
}
