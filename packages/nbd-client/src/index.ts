export {
  type BlockSize,
  CONTEXT_BASE_ALLOCATION,
  CONTEXT_DIRTY_BITMAP_PREFIX,
  NBD_DEFAULT_PORT,
  STATE_DIRTY,
  STATE_HOLE,
  STATE_ZERO,
} from '@virtnbd/nbd-protocol';
export type { NbdAddress } from './address.ts';
export { NbdClient } from './client.ts';
export type { ExportInfo, ExportInfoOptions, ListedExport, MetaContextsOptions } from './discover.ts';
export { NbdError, type NbdErrorCode, type NbdErrorDetails } from './errors.ts';
export type { ExportProperties } from './export-properties.ts';
export type { ExtentRun } from './extents.ts';
export {
  type AbortOptions,
  type ConnectOptions,
  type ExtentsOptions,
  type HandshakeOptions,
  LINK_CONNECTIONS,
  type ReadOptions,
  type ReconnectOptions,
  type RequestOptions,
  type WriteOptions,
  type WriteZeroesOptions,
} from './options.ts';
export type { NbdTlsOptions, PemInput, PreSharedKey } from './tls.ts';
export { formatNbdUri, type NbdUri, parseNbdUri } from './uri.ts';
export type { UriOptions } from './uri-connection.ts';
