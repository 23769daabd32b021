import { NbdError } from '../src/index.ts';

/** The NbdError that a promise rejects with; fails where it resolves or rejects with anything else. */
export async function errorOf(promise: Promise<unknown>): Promise<NbdError> {
  const outcome = await promise.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  );
  if ('value' in outcome) throw new Error(`it resolved with ${JSON.stringify(outcome.value)}`);
  if (outcome.error instanceof NbdError) return outcome.error;
  throw outcome.error;
}

/** Everything that an async iterable yields, in one list. */
export async function collect<T>(batches: AsyncIterable<readonly T[]>): Promise<T[]> {
  const all: T[] = [];
  for await (const batch of batches) all.push(...batch);
  return all;
}
