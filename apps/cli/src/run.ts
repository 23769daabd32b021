import { Errors, run, settings } from '@oclif/core';
import { describeError, ExitCode } from '@virtnbd/cli-kit';

/**
 * Runs `virtnbd`, and ends the process with its exit code.
 *
 * @param importMetaUrl `import.meta.url` of the bin file, which lies one folder below the package.json
 * @param argv without node and the bin file
 */
export async function runCli(importMetaUrl: string, argv: readonly string[] = process.argv.slice(2)): Promise<void> {
  // A terminal that was closed, or a reader that went away (`| head`), must not end a backup half-way.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
  // Also where NODE_ENV says test or development: what is built runs.
  settings.enableAutoTranspile = false;
  try {
    await run([...argv], importMetaUrl);
  } catch (error) {
    process.exitCode = report(error);
  }
  await Promise.all([written(process.stdout), written(process.stderr)]);
  // Sockets and workers of libraries must not keep a command alive that is done.
  process.exit();
}

/** What plugin-not-found ends with. */
const COMMAND_NOT_FOUND = 127;

/** Commands of ours report their own errors: these are of oclif itself and of plugins. */
function report(error: unknown): number {
  if (error instanceof Errors.ExitError) return error.oclif.exit ?? ExitCode.DONE;
  process.stderr.write(`virtnbd: ${describeError(error)}\n`);
  if (!(error instanceof Errors.CLIError)) return ExitCode.FAILED;
  const { exit = ExitCode.USAGE } = error.oclif;
  return exit === COMMAND_NOT_FOUND ? ExitCode.USAGE : exit;
}

function written(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    if (stream.writableLength === 0 || stream.destroyed) resolve();
    else stream.write('', () => resolve());
  });
}
