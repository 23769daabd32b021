import { randomBytes } from 'node:crypto';
import { open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run, type TempFolder, tempFolder } from '@virtnbd/test-kit';

const MIB = 1024 * 1024;

/** A raw image without holes: half of it random, half text. */
export async function makeDisk(path: string, bytes: number): Promise<void> {
  const file = await open(path, 'w');
  const text = Buffer.alloc(MIB, 'The quick brown fox jumps over the lazy dog. ');
  for (let at = 0; at < bytes; at += MIB) await file.write((at / MIB) % 2 === 0 ? randomBytes(MIB) : text);
  await file.close();
}

/** An authority and a server of `localhost`, in files under the names that qemu and libnbd look for. */
export async function makeCertificates(): Promise<TempFolder> {
  const folder = await tempFolder();
  const at = (file: string) => join(folder.path, file);
  const sign = async (name: string, template: readonly string[], how: readonly string[]) => {
    await writeFile(at(`${name}.info`), [...template, ''].join('\n'));
    const key = at(`${name}-key.pem`);
    await run('certtool', ['--generate-privkey', '--key-type=ecdsa', '--curve=secp256r1', '--outfile', key]);
    const files = ['--load-privkey', key, '--template', at(`${name}.info`), '--outfile', at(`${name}-cert.pem`)];
    await run('certtool', [...how, ...files]);
  };
  await sign('ca', ['cn = Bench authority', 'ca', 'cert_signing_key'], ['--generate-self-signed']);
  const ca = ['--load-ca-certificate', at('ca-cert.pem'), '--load-ca-privkey', at('ca-key.pem')];
  const server = ['cn = localhost', 'dns_name = localhost', 'tls_www_server', 'signing_key', 'encryption_key'];
  await sign('server', server, ['--generate-certificate', ...ca]);
  return folder;
}
