import {
  type BlockSize,
  NBD_FLAG_CAN_MULTI_CONN,
  NBD_FLAG_READ_ONLY,
  NBD_FLAG_ROTATIONAL,
  NBD_FLAG_SEND_CACHE,
  NBD_FLAG_SEND_DF,
  NBD_FLAG_SEND_FAST_ZERO,
  NBD_FLAG_SEND_FLUSH,
  NBD_FLAG_SEND_FUA,
  NBD_FLAG_SEND_TRIM,
  NBD_FLAG_SEND_WRITE_ZEROES,
} from '@virtnbd/nbd-protocol';
import type { ExportDetails } from './handshake.ts';

/** What an export is and what its server does for it. */
export interface ExportProperties {
  /** Bytes in the export. */
  readonly size: number;
  readonly readOnly: boolean;
  /** Whether the disk behind it has slow seeks. */
  readonly rotational: boolean;
  /** Whether several connections see each other's data, and a flush on one is a flush of all. */
  readonly canMultiConn: boolean;
  readonly canFlush: boolean;
  readonly canFua: boolean;
  readonly canTrim: boolean;
  readonly canWriteZeroes: boolean;
  /** Whether writing zeroes can be asked to be fast or to fail. */
  readonly canFastZero: boolean;
  readonly canCache: boolean;
  /** Whether a read can be asked to come in one piece. */
  readonly canDontFragment: boolean;
  /** The server's constraints, bytes: `minimum` is the alignment of requests, `maximum` the longest payload. */
  readonly blockSize: BlockSize;
}

export function exportProperties({ size, flags, blockSize }: ExportDetails): ExportProperties {
  const has = (flag: number) => (flags & flag) !== 0;
  return {
    size,
    readOnly: has(NBD_FLAG_READ_ONLY),
    rotational: has(NBD_FLAG_ROTATIONAL),
    canMultiConn: has(NBD_FLAG_CAN_MULTI_CONN),
    canFlush: has(NBD_FLAG_SEND_FLUSH),
    canFua: has(NBD_FLAG_SEND_FUA),
    canTrim: has(NBD_FLAG_SEND_TRIM),
    canWriteZeroes: has(NBD_FLAG_SEND_WRITE_ZEROES),
    canFastZero: has(NBD_FLAG_SEND_FAST_ZERO) && has(NBD_FLAG_SEND_WRITE_ZEROES),
    canCache: has(NBD_FLAG_SEND_CACHE),
    canDontFragment: has(NBD_FLAG_SEND_DF),
    blockSize,
  };
}
