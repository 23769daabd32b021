import { type Host, LocalHost, SshHost, type SshTarget } from '@virtnbd/host';
import {
  LibvirtConnection,
  LibvirtError,
  type LibvirtUri,
  parseLibvirtUri,
  withUriParameters,
} from '@virtnbd/libvirt-ops';
import { readCertificates } from './certificates.ts';
import { HypervisorError } from './errors.ts';
import { planTransfer, type Transfer, type TransferOptions, transferWarning } from './transfer.ts';

export interface HypervisorOptions {
  /** A libvirt URI, or an alias of libvirt's configuration. */
  readonly uri: string;
  /** For a daemon that asks. */
  readonly user?: string;
  readonly password?: string;
  /** Over what the URI and ssh's own configuration say. */
  readonly ssh?: Omit<SshTarget, 'host'>;
  readonly transfer?: TransferOptions & {
    /** Folder of the certificates on this machine; `/etc/pki/qemu` when absent. */
    readonly certificates?: string;
  };
  readonly signal?: AbortSignal;
}

/**
 * One hypervisor, by its libvirt URI: connections to its libvirt, its files and programs, and the way that disk blocks
 * take. Whether it is another host is what libvirt makes of the URI.
 */
export class Hypervisor implements AsyncDisposable {
  /** null where only libvirt's daemon is reached: qemu+tls, qemu+tcp. */
  readonly host: Host | null;
  /** Blocks come over TCP; undefined: through the job's unix socket. */
  readonly transfer: Transfer | undefined;
  /** What a user should hear. */
  readonly warnings: readonly string[];
  readonly #uri: string;
  readonly #auth: { user?: string; password?: string };
  readonly #ssh: SshHost | null;

  private constructor(parts: {
    uri: string;
    host: Host | null;
    ssh?: SshHost;
    transfer: Transfer | undefined;
    warnings: readonly string[];
    auth: { user?: string; password?: string };
  }) {
    this.host = parts.host;
    this.transfer = parts.transfer;
    this.warnings = parts.warnings;
    this.#uri = parts.uri;
    this.#auth = parts.auth;
    this.#ssh = parts.ssh ?? null;
  }

  /**
   * Reaches the hypervisor's host, over ssh where the URI says so.
   *
   * @throws HypervisorError; HostError HOST_KEY, LOGIN, UNREACHABLE; LibvirtError for an alias that leads nowhere
   */
  static async open(options: HypervisorOptions): Promise<Hypervisor> {
    const { user, password, signal } = options;
    const auth = { ...(user !== undefined && { user }), ...(password !== undefined && { password }) };
    const { uri, parts } = await resolveUri(options.uri, auth, signal);
    const { transfer, warnings } = await prepareTransfer(parts, options.transfer ?? {});
    if (parts.transport === 'local') {
      refuseSsh(options.ssh, uri);
      return new Hypervisor({ uri, host: new LocalHost(), transfer, warnings, auth });
    }
    if (parts.transport !== 'ssh' && parts.transport !== 'libssh')
      return new Hypervisor({ uri, host: null, transfer, warnings, auth });
    const ssh = await SshHost.connect(sshTarget(parts, options.ssh ?? {}), { signal });
    const through = parts.transport === 'ssh' ? withUriParameters(uri, { command: await ssh.proxyCommand() }) : uri;
    return new Hypervisor({ uri: through, host: ssh, ssh, transfer, warnings, auth });
  }

  /**
   * Another connection to its libvirt: over the ssh connection, and when that is gone over one of its own, so that what a
   * run has begun there can be undone as soon as the link stands again.
   */
  connect(): Promise<LibvirtConnection> {
    const hasAuth = this.#auth.user !== undefined || this.#auth.password !== undefined;
    return LibvirtConnection.open(this.#uri, hasAuth ? { auth: this.#auth } : {});
  }

  /** Aborted, with the reason, when the ssh connection is gone; never for a hypervisor without one. */
  get lost(): AbortSignal {
    return this.#ssh?.lost ?? new AbortController().signal;
  }

  async close(): Promise<void> {
    await this.#ssh?.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** An alias is no URI: only libvirt knows what it stands for. */
async function resolveUri(
  given: string,
  auth: { user?: string; password?: string },
  signal: AbortSignal | undefined,
): Promise<{ uri: string; parts: LibvirtUri }> {
  try {
    return { uri: given, parts: parseLibvirtUri(given) };
  } catch (error) {
    if (!(error instanceof LibvirtError) || given.includes(':')) throw error;
    await using connection = await LibvirtConnection.open(given, { auth, ...(signal && { signal }) });
    const uri = await connection.realUri();
    return { uri, parts: parseLibvirtUri(uri) };
  }
}

function sshTarget({ host, user, port, parameters }: LibvirtUri, over: Omit<SshTarget, 'host'>): SshTarget {
  const keyfile = parameters.get('keyfile');
  return {
    host: host ?? 'localhost',
    ...(user !== null && { user }),
    ...(port !== null && { port }),
    ...(keyfile !== undefined && { privateKey: keyfile }),
    ...over,
  };
}

function refuseSsh(ssh: Omit<SshTarget, 'host'> | undefined, uri: string): void {
  if (ssh === undefined || Object.keys(ssh).length === 0) return;
  const text = `the ssh options say nothing here: ${uri} is on this host; a remote one is qemu+ssh://HOST/system`;
  throw new HypervisorError('BAD_OPTIONS', text);
}

async function prepareTransfer(
  uri: LibvirtUri,
  options: NonNullable<HypervisorOptions['transfer']>,
): Promise<{ transfer: Transfer | undefined; warnings: string[] }> {
  const plan = planTransfer(uri, options);
  if (plan === undefined) return { transfer: undefined, warnings: [] };
  const { transfer, secure, serverName } = plan;
  const warning = transferWarning(transfer, secure);
  const warnings = warning === null ? [] : [warning];
  if (!secure) return { transfer, warnings };
  const certificates = await readCertificates(new LocalHost().files, options.certificates ?? '/etc/pki/qemu');
  return { transfer: { ...transfer, tls: { ...certificates, hostname: serverName } }, warnings };
}
