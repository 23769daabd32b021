/** Waits for all, also when one fails: none uses its buffer any more when it rejects, with the first failure. */
export async function allEnded(parts: Iterable<Promise<unknown> | unknown>): Promise<void> {
  const failed = (await Promise.allSettled(parts)).find((result) => result.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}
