/** What the watchdog ends and removes when the process that boots a VM is gone. An argument, as JSON. */
export interface WatchdogOrder {
  readonly uri: string;
  /** Of the VM. It is left alone once it is defined: then it stands on its own. */
  readonly uuid: string;
  /** Removed in any case, with all that is in it. */
  readonly folder: string;
  /** Removed with the VM. */
  readonly images: readonly string[];
}

export function isWatchdogOrder(value: unknown): value is WatchdogOrder {
  if (typeof value !== 'object' || value === null) return false;
  const { uri, uuid, folder, images }: Partial<Record<keyof WatchdogOrder, unknown>> = value;
  const texts = [uri, uuid, folder].every((text) => typeof text === 'string' && text !== '');
  return texts && Array.isArray(images) && images.every((image) => typeof image === 'string');
}
