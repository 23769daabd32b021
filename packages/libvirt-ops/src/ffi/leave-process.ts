import { createRequire } from 'node:module';

/**
 * Ends the process at once with C's _exit(). Node's own exit first joins every worker thread, and would wait for as
 * long as libvirt does: a guest agent that never answers a freeze would keep the process for ever.
 *
 * koffi is loaded here and now, and not at the top: the main thread needs it in this one case only.
 */
export function leaveProcess(code: number): void {
  const koffi: typeof import('koffi').default = createRequire(import.meta.url)('koffi');
  koffi.load(null).func('void _exit(int code)')(code);
}
