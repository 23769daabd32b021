import {
  decodeExtendedRequest,
  decodeRequest,
  EXTENDED_REQUEST_LENGTH,
  NBD_CMD_BLOCK_STATUS,
  NBD_CMD_FLAG_DF,
  NBD_CMD_FLAG_FUA,
  NBD_CMD_FLAG_NO_HOLE,
  NBD_CMD_FLAG_PAYLOAD_LEN,
  NBD_CMD_FLAG_REQ_ONE,
  NBD_CMD_FLUSH,
  NBD_CMD_READ,
  NBD_CMD_TRIM,
  NBD_CMD_WRITE,
  NBD_CMD_WRITE_ZEROES,
  NbdCodecError,
  REQUEST_LENGTH,
  type Request,
} from '@virtnbd/nbd-protocol';
import { EINVAL, ENOSPC, EOVERFLOW, EPERM } from './errno.ts';
import type { Session } from './session.ts';

/** The longest read in one piece (NBD_CMD_FLAG_DF) that is answered; clients may count on 64 KiB ("Request types"). */
export const PIECE = 1024 * 1024;

export function requestLength({ headers }: Session): number {
  return headers === 'extended' ? EXTENDED_REQUEST_LENGTH : REQUEST_LENGTH;
}

/**
 * A request's header. Offsets and lengths past 2^53 - 1 become Infinity: they are outside any export, but the request has a
 * cookie and must be answered.
 *
 * @throws NbdCodecError `BAD_MAGIC`: the stream has slipped
 */
export function parseRequest(bytes: Buffer, session: Session): Request {
  const decode = session.headers === 'extended' ? decodeExtendedRequest : decodeRequest;
  try {
    return decode(bytes);
  } catch (error) {
    if (!(error instanceof NbdCodecError) || error.code !== 'OUT_OF_RANGE') throw error;
  }
  const copy = Buffer.from(bytes);
  const offset = exact(bytes.readBigUInt64BE(16));
  copy.fill(0, 16, 24);
  let length: number | undefined;
  if (session.headers === 'extended') {
    length = exact(bytes.readBigUInt64BE(24));
    copy.fill(0, 24, 32);
  }
  const request = decode(copy);
  return { ...request, offset, length: length ?? request.length };
}

function exact(value: bigint): number {
  return value > BigInt(Number.MAX_SAFE_INTEGER) ? Number.POSITIVE_INFINITY : Number(value);
}

/** Bytes that follow the header. */
export function payloadLength({ command, flags, length }: Request, { headers }: Session): number {
  const carries = headers === 'extended' ? (flags & NBD_CMD_FLAG_PAYLOAD_LEN) !== 0 : command === NBD_CMD_WRITE;
  return carries ? length : 0;
}

/** The NBD error value with which a request is refused, and why; undefined where it is in order ("Error values"). */
export function checkRequest(request: Request, session: Session): Refusal | undefined {
  const { command, flags, length } = request;
  const { commands, readOnly, fua } = session.open;
  const changes = command === NBD_CMD_WRITE || command === NBD_CMD_WRITE_ZEROES || command === NBD_CMD_TRIM;
  if (changes && readOnly) return { error: EPERM, message: 'the export is read-only' };
  const offered =
    command === NBD_CMD_READ || (command === NBD_CMD_BLOCK_STATUS && session.allocation) || commands.has(command);
  if (!offered) return { error: EINVAL, message: 'the command is not offered' };
  if ((flags & ~allowedFlags(command, session, fua)) !== 0) {
    return { error: EINVAL, message: 'a command flag that is not offered' };
  }
  if (session.headers === 'extended' && command === NBD_CMD_WRITE && (flags & NBD_CMD_FLAG_PAYLOAD_LEN) === 0) {
    return { error: EINVAL, message: 'a write without a payload' };
  }
  if (command === NBD_CMD_FLUSH) {
    return request.offset === 0 && length === 0 ? undefined : { error: EINVAL, message: 'flush has no range' };
  }
  return checkRange(request, session, changes);
}

/** Why a request is refused. */
export interface Refusal {
  readonly error: number;
  readonly message: string;
}

function allowedFlags(command: number, { headers }: Session, fua: boolean): number {
  const always = fua ? NBD_CMD_FLAG_FUA : 0;
  switch (command) {
    case NBD_CMD_READ:
      return always | (headers === 'simple' ? 0 : NBD_CMD_FLAG_DF);
    case NBD_CMD_WRITE:
      return always | (headers === 'extended' ? NBD_CMD_FLAG_PAYLOAD_LEN : 0);
    case NBD_CMD_WRITE_ZEROES:
      return always | NBD_CMD_FLAG_NO_HOLE;
    case NBD_CMD_BLOCK_STATUS:
      return always | NBD_CMD_FLAG_REQ_ONE;
    default:
      return always;
  }
}

function checkRange({ command, flags, offset, length }: Request, session: Session, changes: boolean) {
  const { source, blockSize } = session.open;
  if (length === 0) return { error: EINVAL, message: 'a range of no bytes' };
  if (offset % blockSize.minimum !== 0 || length % blockSize.minimum !== 0) {
    if (Number.isFinite(offset) && Number.isFinite(length)) {
      return { error: EINVAL, message: `not aligned to ${blockSize.minimum} bytes` };
    }
  }
  if (offset > source.size || length > source.size - offset) {
    const error = changes && command !== NBD_CMD_TRIM ? ENOSPC : EINVAL;
    return { error, message: 'outside the export' };
  }
  if ((command === NBD_CMD_READ || command === NBD_CMD_WRITE) && length > blockSize.maximum) {
    return { error: EINVAL, message: `longer than ${blockSize.maximum} bytes` };
  }
  if ((flags & NBD_CMD_FLAG_DF) !== 0 && command === NBD_CMD_READ && length > PIECE) {
    return { error: EOVERFLOW, message: `at most ${PIECE} bytes in one piece` };
  }
  return undefined;
}
