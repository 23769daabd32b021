export type TestKitErrorCode =
  | 'PROGRAM_MISSING'
  | 'PROGRAM_FAILED'
  | 'DAEMON'
  | 'DISK_WRITE'
  | 'USAGE'
  | 'TIMEOUT'
  | 'GUEST'
  | 'LEFTOVER'
  | 'COUNTERPART_MISSING';

/** What the kit throws. `code` is stable; `output` holds what a program printed. */
export class TestKitError extends Error {
  override readonly name = 'TestKitError';
  readonly code: TestKitErrorCode;
  readonly exitCode?: number;
  readonly output?: string;

  constructor(
    code: TestKitErrorCode,
    message: string,
    details: { cause?: unknown; exitCode?: number; output?: string } = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    if (details.exitCode !== undefined) this.exitCode = details.exitCode;
    if (details.output !== undefined) this.output = details.output;
  }
}
