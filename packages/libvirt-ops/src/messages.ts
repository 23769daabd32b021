import type { Calls } from './calls/index.ts';

/** What travels between the main thread and a worker thread. All of it can be cloned. */

export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly call: string;
  readonly libvirtCode?: number;
  readonly libvirtDomain?: number;
  /** The connection does not stand any more: no later call on it can succeed. */
  readonly lost?: true;
}

export type CallName = keyof Calls;
export type CallArguments<K extends CallName> = Parameters<Calls[K]>;
export type CallResult<K extends CallName> = ReturnType<Calls[K]>;

export interface Request {
  readonly id: number;
  readonly call: CallName;
  readonly args: readonly unknown[];
}

export type Reply =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly failure: Failure };
