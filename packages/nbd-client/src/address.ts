import type { Duplex } from 'node:stream';
import { NBD_DEFAULT_PORT } from '@virtnbd/nbd-protocol';

/**
 * Where a server is: a unix socket (a path that begins with NUL is in Linux's abstract namespace), TCP (port 10809 unless
 * told), or a stream that is already open and that nothing has been read from, such as a channel of an ssh connection.
 * An open stream belongs to the client from then on, serves one connection, and cannot be connected again.
 */
export type NbdAddress = { path: string } | { host: string; port?: number } | { stream: Duplex };

/** The address in an error message. */
export function describeAddress(address: NbdAddress): string {
  if ('stream' in address) return 'the open stream';
  if ('path' in address) return address.path.replace(/^\0/, '@');
  return `${address.host} port ${address.port ?? NBD_DEFAULT_PORT}`;
}
