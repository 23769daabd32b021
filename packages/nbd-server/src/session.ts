import type { OpenExport } from './export-table.ts';

/** How replies look, as agreed on in the handshake. */
export type Headers = 'simple' | 'structured' | 'extended';

/** What a client's handshake has led to. */
export interface Session {
  readonly open: OpenExport;
  readonly headers: Headers;
  /** Whether base:allocation was selected for this export. */
  readonly allocation: boolean;
  readonly tls: boolean;
}

/** The id of base:allocation in block-status replies. */
export const ALLOCATION_ID = 1;
