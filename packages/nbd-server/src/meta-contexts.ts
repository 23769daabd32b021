import { CONTEXT_BASE_ALLOCATION } from '@virtnbd/nbd-protocol';

/**
 * Whether the queries of NBD_OPT_SET_META_CONTEXT or NBD_OPT_LIST_META_CONTEXT name base:allocation, the only context here
 * ("Metadata querying"). A list may ask for everything, or for all of a namespace; to select, the name must be in full.
 */
export function asksForAllocation(queries: readonly string[], how: 'list' | 'set'): boolean {
  if (how === 'set') return queries.includes(CONTEXT_BASE_ALLOCATION);
  return queries.length === 0 || queries.some((query) => query === CONTEXT_BASE_ALLOCATION || query === 'base:');
}
