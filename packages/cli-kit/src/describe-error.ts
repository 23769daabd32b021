/** The longest chain of causes that is told. */
const DEEPEST = 10;

/**
 * What to tell of an error: its message; with `verbose` also its code, stack and causes.
 */
export function describeError(error: unknown, options: { verbose?: boolean | undefined } = {}): string {
  if (options.verbose !== true) return messageOf(error);
  const parts = [messageOf(error), ...detailsOf(error)];
  let cause = causeOf(error);
  for (let depth = 0; cause !== undefined && depth < DEEPEST; depth++) {
    parts.push(`caused by: ${messageOf(cause)}`, ...detailsOf(cause));
    cause = causeOf(cause);
  }
  return parts.join('\n');
}

function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) {
    const own = error.message === '' ? [] : [error.message];
    return [...own, ...error.errors.map(messageOf)].join('\n');
  }
  // `await using`: a clean-up failed after the real error.
  if (isSuppressed(error)) return `${messageOf(error.suppressed)}\nthen, on cleaning up: ${messageOf(error.error)}`;
  if (error instanceof Error) return error.message === '' ? error.name : error.message;
  return String(error);
}

function isSuppressed(error: unknown): error is Error & { error: unknown; suppressed: unknown } {
  return error instanceof Error && error.name === 'SuppressedError' && 'error' in error && 'suppressed' in error;
}

function detailsOf(error: unknown): string[] {
  if (!(error instanceof Error)) return [];
  const code = 'code' in error && typeof error.code === 'string' ? [`code: ${error.code}`] : [];
  const stack = (error.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line));
  return [...code, ...stack];
}

function causeOf(error: unknown): unknown {
  if (isSuppressed(error)) return causeOf(error.suppressed);
  return error instanceof Error ? error.cause : undefined;
}
