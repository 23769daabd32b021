import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from './programs.ts';
import { type TempFolder, tempFolder } from './temp-folder.ts';

/** A folder as qemu-nbd, nbdkit and nbdcopy want it, made by certtool: an authority, a server, a client. */
export interface Certificates extends AsyncDisposable {
  readonly folder: string;
  /** A file of the folder: `ca-cert.pem`, `server-cert.pem`, `client-key.pem` … */
  pem(file: string): Promise<string>;
  /** The list of revoked certificates (PEM) that has one of the folder's. */
  revoke(file: string): Promise<string>;
  /** A file of pre-shared keys: `keys.psk` in a folder of its own. */
  readonly keys: string;
  /** The same authority and client as libvirt's own clients want them: `?pkipath=` in a URI. */
  readonly pki: string;
}

export const USER = 'alice';
const KEY = '67855c8693786bb0f7bf638a9e8bb7d632c35fc4729011bb06b917baf15a233a';
/** The key of {@link USER}. */
export const PSK = { identity: USER, key: Buffer.from(KEY, 'hex') };
/** The names in the server's certificate, besides 127.0.0.1. */
export const SERVER_NAME = 'nbd.example.org';

const AUTHORITY = ['cn = Test authority', 'ca', 'cert_signing_key', 'crl_signing_key'];
const SERVER = [`cn = ${SERVER_NAME}`, `dns_name = ${SERVER_NAME}`, 'ip_address = 127.0.0.1', 'tls_www_server'];
const CLIENT = ['cn = client.example.org', 'tls_www_client'];

/** @param extra more lines for the server's certificate */
export async function makeCertificates(extra: readonly string[] = []): Promise<Certificates> {
  const temp: TempFolder = await tempFolder();
  const at = (file: string) => join(temp.path, file);
  const sign = async (name: string, template: readonly string[], authority: boolean) => {
    await writeFile(at(`${name}.info`), [...template, 'signing_key', 'encryption_key', ''].join('\n'));
    const key = at(`${name}-key.pem`);
    await run('certtool', ['--generate-privkey', '--key-type=rsa', '--bits=2048', '--outfile', key]);
    const ca = ['--load-ca-certificate', at('ca-cert.pem'), '--load-ca-privkey', at('ca-key.pem')];
    const how = authority ? ['--generate-self-signed'] : ['--generate-certificate', ...ca];
    const files = ['--load-privkey', key, '--template', at(`${name}.info`), '--outfile', at(`${name}-cert.pem`)];
    await run('certtool', [...how, ...files]);
  };
  await sign('ca', AUTHORITY, true);
  await sign('server', [...SERVER, ...extra], false);
  await sign('client', CLIENT, false);
  await mkdir(at('psk'));
  await writeFile(at('psk/keys.psk'), `${USER}:${KEY}\n`);
  await mkdir(at('pki'));
  await copyFile(at('ca-cert.pem'), at('pki/cacert.pem'));
  for (const kind of ['cert', 'key']) await copyFile(at(`client-${kind}.pem`), at(`pki/client${kind}.pem`));
  const revoke = async (file: string) => {
    await writeFile(at('crl.info'), 'crl_next_update = 365\ncrl_number = 1\n');
    const ca = ['--load-ca-certificate', at('ca-cert.pem'), '--load-ca-privkey', at('ca-key.pem')];
    const how = ['--load-certificate', at(file), '--template', at('crl.info'), '--outfile', at('revoked.pem')];
    await run('certtool', ['--generate-crl', ...ca, ...how]);
    return readFile(at('revoked.pem'), 'utf8');
  };
  return {
    folder: temp.path,
    revoke,
    keys: at('psk/keys.psk'),
    pki: at('pki'),
    pem: (file) => readFile(at(file), 'utf8'),
    [Symbol.asyncDispose]: () => temp.remove(),
  };
}
