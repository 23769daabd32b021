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
  /** The folder with the certificates that a backup job's NBD server shows; it must be the daemon's to read. */
  readonly backupCertificates?: string;
}

/** The daemon's arguments and environment for these options; writes what they need below `folder`. */
export async function prepareOptions(
  folder: string,
  { tcp }: DaemonOptions,
): Promise<{ args: string[]; environment: Record<string, string> }> {
  if (tcp === undefined) return { args: [], environment: {} };
  const { port, sasl } = tcp;
  const auth = sasl === undefined ? 'none' : 'sasl';
  const lines = [
    'listen_tls = 0',
    'listen_tcp = 1',
    'listen_addr = "127.0.0.1"',
    `tcp_port = "${port}"`,
    `auth_tcp = "${auth}"`,
  ];
  const config = join(folder, 'c/libvirt/libvirtd.conf');
  await writeFile(config, `${lines.join('\n')}\n`, { mode: 0o644 });
  await giveToDaemon(config);
  if (sasl === undefined) return { args: ['--listen'], environment: {} };
  const database = join(folder, 'c/sasldb2');
  await run('saslpasswd2', ['-p', '-c', '-f', database, '-a', 'libvirt', sasl.user], { input: sasl.password });
  const saslConfig = join(folder, 'c/libvirt.conf');
  await writeFile(saslConfig, `mech_list: digest-md5\nsasldb_path: ${database}\n`, { mode: 0o644 });
  await giveToDaemon(database, saslConfig);
  return { args: ['--listen'], environment: { SASL_CONF_PATH: join(folder, 'c') } };
}
