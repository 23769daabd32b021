import { setTimeout as delay } from 'node:timers/promises';
import { TestKitError } from './errors.ts';

/**
 * Asks until `condition` gives something that is neither false, null nor undefined, and returns that. An error of the condition
 * ends the wait. TIMEOUT after `timeoutMs` (default 30 000).
 */
export async function waitFor<T>(
  condition: () => T | Promise<T>,
  options: { timeoutMs?: number; intervalMs?: number; what?: string } = {},
): Promise<NonNullable<Exclude<T, false>>> {
  const timeoutMs = options.timeoutMs ?? 30_000;
  const end = performance.now() + timeoutMs;
  for (;;) {
    const value = await condition();
    if (value !== false && value !== null && value !== undefined) return value as NonNullable<Exclude<T, false>>;
    if (performance.now() > end) {
      throw new TestKitError('TIMEOUT', `${options.what ?? 'The condition'} did not come about in ${timeoutMs} ms`);
    }
    await delay(options.intervalMs ?? 20);
  }
}
