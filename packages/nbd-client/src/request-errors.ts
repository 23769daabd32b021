import { commandName, type ErrorChunk, errnoName } from '@virtnbd/nbd-protocol';
import { NbdError, printable } from './errors.ts';
import type { OperationInput, WireRequest } from './operation.ts';

/** What was asked for, in the words of an error. */
type Asked = Pick<OperationInput, 'command' | 'offset' | 'length'>;

function describe({ command, offset, length }: Asked): string {
  return `${commandName(command)} at ${offset}, ${length} bytes`;
}

export function failed(reason: NbdError, asked: Asked): NbdError {
  const { offset, length } = asked;
  return new NbdError(reason.code, `${describe(asked)}: ${reason.message}`, { offset, length, cause: reason });
}

export function late(asked: Asked, timeoutMs: number): NbdError {
  const { offset, length } = asked;
  return new NbdError('TIMEOUT', `${describe(asked)}: no complete answer within ${timeoutMs} ms`, { offset, length });
}

export function silence(timeoutMs: number): NbdError {
  return new NbdError('TIMEOUT', `the NBD server said nothing for ${timeoutMs} ms while it owed replies`);
}

export function protocolError(cause: unknown): NbdError {
  const message = cause instanceof Error ? cause.message : String(cause);
  return new NbdError('PROTOCOL', `the NBD server broke the protocol: ${printable(message)}`, { cause });
}

export function requestError(request: WireRequest, error: ErrorChunk): NbdError {
  const { offset, length } = request;
  const errno = errnoName(error.error);
  const said = error.message === '' ? errno : `${errno}, ${printable(error.message)}`;
  const where = error.offset === undefined ? '' : ` (at ${error.offset})`;
  const what = describe({ command: request.operation.command, offset, length });
  return new NbdError('REQUEST', `the NBD server failed ${what}: ${said}${where}`, {
    errno,
    offset: error.offset ?? offset,
    length,
  });
}

/** The server broke the protocol in answering a request. */
export function violation(request: WireRequest, what: string): NbdError {
  const { offset, length } = request;
  const asked = `${commandName(request.operation.command)} (offset ${offset}, length ${length})`;
  return new NbdError('PROTOCOL', `the NBD server broke the protocol: it answered ${asked} with ${what}`, {
    offset,
    length,
  });
}
