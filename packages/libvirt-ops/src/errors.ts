/**
 * Codes of this package's own. Every other code is the name of libvirt's error number without `VIR_ERR_`
 * (`NO_DOMAIN`, `OPERATION_INVALID`, …), `UNKNOWN_<n>` where the number is newer than this package.
 */
export const OwnErrorCode = {
  /** libvirt.so.0 cannot be loaded. */
  libraryMissing: 'LIBRARY_MISSING',
  /** No connection to the hypervisor: no daemon, no permission, wrong URI, or the connection was lost. */
  connect: 'CONNECT',
  /** The time limit passed while connecting. */
  timeout: 'TIMEOUT',
  /** The connection was closed on this side, or its thread ended, before the call was answered. */
  closed: 'CLOSED',
  /** A block pull ended before everything was copied. */
  pullFailed: 'PULL_FAILED',
  /** A text that is not the XML that was expected. */
  badXml: 'BAD_XML',
  /** A value that cannot be passed on: a NUL in a string, a character that XML cannot carry. */
  invalidArgument: 'INVALID_ARG',
} as const;

export interface LibvirtErrorDetails {
  readonly libvirtCode?: number | undefined;
  readonly libvirtDomain?: number | undefined;
  /** The libvirt function that failed. */
  readonly call?: string | undefined;
  readonly cause?: unknown;
}

/** Any failure of this package. Tell cases apart by `code`, never by the message. */
export class LibvirtError extends Error {
  override readonly name = 'LibvirtError';
  /** One of {@link OwnErrorCode}, or the name of libvirt's number without `VIR_ERR_`. */
  readonly code: string;
  /** libvirt's virErrorNumber, where libvirt reported the error. */
  readonly libvirtCode?: number;
  /** libvirt's virErrorDomain (the part of libvirt that failed), where libvirt reported the error. */
  readonly libvirtDomain?: number;
  /** The libvirt function that failed, where one did. */
  readonly call?: string;

  constructor(code: string, message: string, details: LibvirtErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    if (details.libvirtCode !== undefined) this.libvirtCode = details.libvirtCode;
    if (details.libvirtDomain !== undefined) this.libvirtDomain = details.libvirtDomain;
    if (details.call !== undefined) this.call = details.call;
  }
}
