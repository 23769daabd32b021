import type { Host } from '@virtnbd/host';
import { host } from '@virtnbd/sample-sets';

export class InjectedError extends Error {}

/** What takes things away again must be able to. */
const CLEANS: ReadonlySet<string | symbol> = new Set(['remove', 'removeFolder', 'isAlive', 'identity', 'close']);

/**
 * A host some of whose calls fail: its own, those of its files, and those of files that it has opened.
 *
 * @param failureOf what a call, counted from 0, fails with; undefined when it does not
 */
export function failingHost(failureOf: (call: number, name: string) => Error | undefined): {
  host: Host;
  calls: () => number;
} {
  let calls = 0;
  const failing = <T extends object>(object: T): T =>
    new Proxy(object, {
      get: (target, key) => {
        const value: unknown = Reflect.get(target, key);
        if (typeof value !== 'function') return isObject(value) ? failing(value) : value;
        return (...args: unknown[]): unknown => {
          const counts = typeof key === 'string' && !CLEANS.has(key);
          const failure = counts ? failureOf(calls++, key) : undefined;
          if (failure !== undefined) throw failure;
          const result: unknown = Reflect.apply(value, target, args);
          if (key !== 'open' || !(result instanceof Promise)) return result;
          return result.then((file: unknown) => (isObject(file) ? failing(file) : file));
        };
      },
    });
  return { host: failing(host), calls: () => calls };
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
