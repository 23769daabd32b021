export { HypervisorError, type HypervisorErrorCode } from './errors.ts';
export { Hypervisor, type HypervisorOptions } from './hypervisor.ts';
export type { Transfer, TransferOptions } from './transfer.ts';
