import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { giveToDaemon } from '../identity.ts';
import { run } from '../programs.ts';

/** What a test's libvirt does besides answering on its unix socket. */
export interface DaemonOptions {
  /** Words before its command line: to run it, and its VMs, in another network namespace. */
  readonly within?: readonly string[];
  /** Listens on TCP at 127.0.0.1. */
  readonly tcp?: {
    readonly port: number;
    /** Lets in this user only, by SASL (DIGEST-MD5); everybody when absent. */
    readonly sasl?: { readonly user: string; readonly password: string };
  };
  /** Listens with TLS at 127.0.0.1, for clients that the folder's authority knows; instead of `tcp`. */
  readonly tls?: { readonly port: number; readonly certificates: string };
  /** The folder with the certificates that a backup job's NBD server shows; it must be the daemon's to read. */
  readonly backupCertificates?: string;
}

/** The daemon's arguments and environment for these options; writes what they need below `folder`. */
export async function prepareOptions(
  folder: string,
  { tcp, tls }: DaemonOptions,
): Promise<{ args: string[]; environment: Record<string, string> }> {
  const listening = tls !== undefined ? tlsLines(tls) : tcp !== undefined ? tcpLines(tcp) : undefined;
  if (listening === undefined) return { args: [], environment: {} };
  const config = join(folder, 'c/libvirt/libvirtd.conf');
  await writeFile(config, `${['listen_addr = "127.0.0.1"', ...listening].join('\n')}\n`, { mode: 0o644 });
  await giveToDaemon(config);
  const sasl = tls === undefined ? tcp?.sasl : undefined;
  return { args: ['--listen'], environment: sasl === undefined ? {} : await prepareSasl(folder, sasl) };
}

function tlsLines({ port, certificates }: NonNullable<DaemonOptions['tls']>): string[] {
  return [
    'listen_tls = 1',
    'listen_tcp = 0',
    `tls_port = "${port}"`,
    `ca_file = "${join(certificates, 'ca-cert.pem')}"`,
    `cert_file = "${join(certificates, 'server-cert.pem')}"`,
    `key_file = "${join(certificates, 'server-key.pem')}"`,
  ];
}

function tcpLines({ port, sasl }: NonNullable<DaemonOptions['tcp']>): string[] {
  const auth = sasl === undefined ? 'none' : 'sasl';
  return ['listen_tls = 0', 'listen_tcp = 1', `tcp_port = "${port}"`, `auth_tcp = "${auth}"`];
}

async function prepareSasl(
  folder: string,
  { user, password }: { readonly user: string; readonly password: string },
): Promise<Record<string, string>> {
  const database = join(folder, 'c/sasldb2');
  await run('saslpasswd2', ['-p', '-c', '-f', database, '-a', 'libvirt', user], { input: password });
  const saslConfig = join(folder, 'c/libvirt.conf');
  await writeFile(saslConfig, `mech_list: digest-md5\nsasldb_path: ${database}\n`, { mode: 0o644 });
  await giveToDaemon(database, saslConfig);
  return { SASL_CONF_PATH: join(folder, 'c') };
}
