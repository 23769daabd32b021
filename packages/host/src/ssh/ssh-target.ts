import { isIPv6 } from 'node:net';
import { HostError, printable } from '../errors.ts';

/** A host behind ssh. What is not told here, ssh's own configuration decides. */
export interface SshTarget {
  /** A name that ssh knows: of the network, or a `Host` of the user's ssh configuration. */
  readonly host: string;
  readonly user?: string;
  readonly port?: number;
  /** Path of a private key; ssh's own choice and its agent when absent. */
  readonly privateKey?: string;
  /** Another configuration file than the user's. */
  readonly configFile?: string;
}

/** Seconds between signs of life, and how many may be missed: a dead link is noticed within 20 seconds. */
const ALIVE_INTERVAL = 5;
const ALIVE_COUNT = 3;

/**
 * Never a question, never an unknown host key, never more than the connection is for. All else is as the user has set it
 * up for ssh: keys, agent, jump hosts, known_hosts.
 */
const SETTINGS = [
  'BatchMode=yes',
  'StrictHostKeyChecking=yes',
  'UpdateHostKeys=no',
  `ServerAliveInterval=${ALIVE_INTERVAL}`,
  `ServerAliveCountMax=${ALIVE_COUNT}`,
  'ConnectTimeout=20',
  'ForwardAgent=no',
  'ForwardX11=no',
  'RequestTTY=no',
  'PermitLocalCommand=no',
  'RemoteCommand=none',
  'ForkAfterAuthentication=no',
  'ControlPersist=no',
  'LogLevel=ERROR',
];

/** Options of ssh that lead to the target, without the target itself. */
export function sshOptions({ user, port, privateKey, configFile }: SshTarget): string[] {
  return [
    ...(configFile === undefined ? [] : ['-F', configFile]),
    ...SETTINGS.flatMap((setting) => ['-o', setting]),
    ...(user === undefined ? [] : ['-l', user]),
    ...(port === undefined ? [] : ['-p', String(port)]),
    ...(privateKey === undefined ? [] : ['-i', privateKey, '-o', 'IdentitiesOnly=yes']),
  ];
}

/** @throws HostError BAD_ARGUMENT for a name that ssh would take for an option or for more than a name */
export function requireHostName(host: string): string {
  if (/^[^-\s@/'"`\\$;&|<>()\0][^\s@/'"`\\$;&|<>()\0]*$/.test(host)) return host;
  throw new HostError('BAD_ARGUMENT', `${printable(host)} cannot be the name of an ssh host`);
}

/** `user@host`, as it stands in messages. */
export function describeTarget({ host, user, port }: SshTarget): string {
  const name = `${user === undefined ? '' : `${user}@`}${host}`;
  return port === undefined ? name : `${name} port ${port}`;
}

/** What a known_hosts file calls the host: with a port of its own `[host]:port`. */
export function knownHostsName({ host, port = 22 }: SshTarget): string {
  return port === 22 && !isIPv6(host) ? host : `[${host}]:${port}`;
}
