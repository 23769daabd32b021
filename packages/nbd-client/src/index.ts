export {
  type BlockSize,
  CONTEXT_BASE_ALLOCATION,
  CONTEXT_DIRTY_BITMAP_PREFIX,
  NBD_DEFAULT_PORT,
  STATE_DIRTY,
  STATE_HOLE,
  STATE_ZERO,
} from '@virtnbd/nbd-protocol';
export { NbdClient } from './client.ts';
export { NbdError, type NbdErrorCode, type NbdErrorDetails } from './errors.ts';
export type { ExtentRun } from './extents.ts';
export type { AbortOptions, ConnectOptions, ExtentsOptions, WriteOptions, WriteZeroesOptions } from './options.ts';
export type { NbdAddress } from './transport.ts';
