import type { NbdServerError } from './errors.ts';

/** Who is meant: one client's connection. */
export interface ConnectionInfo {
  /** Counts from 1, never used twice by a server. */
  readonly id: number;
  /** `unix`, or address and port of the client. */
  readonly peer: string;
}

/** What a server tells. Nothing of it needs an answer. */
export type ServerEvent =
  | { readonly type: 'connected'; readonly connection: ConnectionInfo }
  /** The handshake is over: the client has entered an export. */
  | {
      readonly type: 'opened';
      readonly connection: ConnectionInfo;
      readonly exportName: string;
      readonly readOnly: boolean;
      readonly tls: boolean;
      readonly headers: 'simple' | 'structured' | 'extended';
    }
  /** The connection has ended, and none of its requests is under way any more. `error`: why, where not in good order. */
  | {
      readonly type: 'disconnected';
      readonly connection: ConnectionInfo;
      readonly exportName?: string;
      readonly error?: NbdServerError | Error;
      /** Connections that are left. */
      readonly left: number;
    }
  /** More clients than `maxConnections`: one was turned away. */
  | { readonly type: 'refused'; readonly peer: string }
  /** A source failed: the client got an error for that request, and stays. `offset` and `length` are bytes. */
  | {
      readonly type: 'source-error';
      readonly connection: ConnectionInfo;
      readonly exportName: string;
      /** `NBD_CMD_READ` and so on; `open` where the source could not be opened. */
      readonly command: string;
      readonly offset: number;
      readonly length: number;
      readonly error: unknown;
    };

/** A request as it came, before it is judged. */
export interface RequestInfo {
  readonly connection: ConnectionInfo;
  readonly exportName: string;
  /** `NBD_CMD_READ` and so on. */
  readonly command: string;
  /** NBD_CMD_FLAG_* */
  readonly flags: number;
  /** Bytes. */
  readonly offset: number;
  /** Bytes. */
  readonly length: number;
  /** The header's bytes, for a hex dump; valid during the call. */
  readonly header: Uint8Array;
}
