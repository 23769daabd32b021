import { NBD_CMD_BLOCK_STATUS, NBD_CMD_FLAG_DF, NBD_CMD_FLAG_REQ_ONE, NBD_CMD_READ } from '@virtnbd/nbd-protocol';
import type { Extents, WireRequest } from './operation.ts';
import { violation } from './request-errors.ts';

// What a reply must be besides well-formed: everything that is checked against the request.

/**
 * Marks what a chunk of a read brings.
 *
 * @returns where in the operation's buffer the range begins
 * @throws NbdError `PROTOCOL` for bytes outside the request, sent before, or in fragments that were not wanted
 */
export function cover(request: WireRequest, offset: number, length: number): number {
  const start = offset - request.offset;
  request.contentChunks++;
  if (request.contentChunks > 1 && (request.operation.flags & NBD_CMD_FLAG_DF) !== 0) {
    throw violation(request, 'fragments of what was not to be fragmented');
  }
  if (!request.coverage.add(start, length)) {
    throw violation(request, `${length} bytes at ${offset}, outside the request or sent before`);
  }
  return request.start + start;
}

/** @throws NbdError `PROTOCOL` for a chunk whose length is not between the two: before anything is allocated */
export function bound(request: WireRequest, length: number, least: number, most: number): void {
  if (length < least || length > most) throw violation(request, `a chunk of ${length} bytes`);
}

/**
 * @param context the name of the context, undefined for one that was not granted
 * @throws NbdError `PROTOCOL` for extents that cannot be the answer
 */
export function checkStatus(
  request: WireRequest,
  context: string | undefined,
  contextId: number,
  extents: Extents,
): void {
  if (context === undefined) throw violation(request, `extents of the unknown context ${contextId}`);
  if (request.status?.has(contextId) === true) throw violation(request, `the extents of context ${contextId} twice`);
  // "For metadata contexts that only return a 32-bit status (including all contexts in the base: namespace)".
  const wide = extents instanceof Float64Array && context.startsWith('base:');
  if (wide && extents.some((value, i) => i % 2 === 1 && value > 0xffff_ffff)) {
    throw violation(request, `more than 32 bits of status for ${context}`);
  }
  if ((request.operation.flags & NBD_CMD_FLAG_REQ_ONE) === 0) return;
  const fits = extents.length === 2 && (extents[0] ?? 0) <= request.length;
  if (!fits) throw violation(request, 'more than the one extent that was asked for');
}

/** @throws NbdError `PROTOCOL` where a reply ended without an error and without all that was asked for */
export function checkComplete(request: WireRequest, contexts: number): void {
  const { command } = request.operation;
  if (command === NBD_CMD_READ && !request.coverage.complete) {
    throw violation(request, 'fewer bytes than were asked for');
  }
  if (command === NBD_CMD_BLOCK_STATUS && (request.status?.size ?? 0) < contexts) {
    throw violation(request, 'the extents of fewer contexts than it granted');
  }
}
