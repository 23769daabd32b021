import koffi from 'koffi';
import { errorCodeName } from '../error-codes.ts';
import type { Failure } from '../messages.ts';
import type { LibvirtFunctions } from './signatures.ts';

/** An error inside the worker thread, on its way to the main thread as a plain {@link Failure}. */
export class NativeFailure extends Error {
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(failure.message);
    this.failure = failure;
  }
}

// struct _virError { int code; int domain; char *message; virErrorLevel level; … }: what follows is deprecated or unused.
const ERROR = koffi.struct({ code: 'int', domain: 'int', message: 'str' });

interface ErrorHead {
  readonly code: number;
  readonly domain: number;
  readonly message: string | null;
}

/**
 * Reads libvirt's last error. It is kept per thread and overwritten by the next call, so this must run right after the
 * call that failed, on the same thread.
 */
export function lastFailure(libvirt: LibvirtFunctions, call: string): NativeFailure {
  const address = libvirt.virGetLastError();
  if (address === null) {
    return new NativeFailure({ code: 'INTERNAL_ERROR', call, message: `${call} failed and gave no reason` });
  }
  const head: ErrorHead = koffi.decode(address, ERROR);
  return new NativeFailure({
    code: errorCodeName(head.code),
    libvirtCode: head.code,
    libvirtDomain: head.domain,
    call,
    message: head.message?.trim() || `${call} failed`,
  });
}
