import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Config, settings } from '@oclif/core';
import { describeError } from './describe-error.ts';
import { ExitCode } from './exit-code.ts';

/**
 * Runs the single command of an app, and ends the process with its exit code. The app's package.json names it:
 * `oclif.commands` is `{ strategy: 'single', target: './dist/command.js' }`.
 *
 * @param importMetaUrl `import.meta.url` of the bin file, which lies one folder below the package.json
 * @param argv without node and the bin file
 */
export async function runCommand(
  importMetaUrl: string,
  argv: readonly string[] = process.argv.slice(2),
): Promise<void> {
  surviveBrokenPipes();
  try {
    const require = createRequire(importMetaUrl);
    const root = dirname(require.resolve('../package.json'));
    // Also where NODE_ENV says test or development: what is built runs.
    settings.enableAutoTranspile = false;
    const pjson = require('../package.json');
    // Loaded here first: oclif turns an error in the module into a warning and a missing command.
    await import(pathToFileURL(join(root, pjson.oclif.commands.target)).href);
    const config = await Config.load({ root, pjson, isRoot: true });
    const [command] = config.commands;
    if (command === undefined) throw new Error(`${pjson.oclif.commands.target} exports no command`);
    const Class = await command.load();
    await Class.run([...argv], config);
  } catch (error) {
    process.stderr.write(`${describeError(error, { verbose: true })}\n`);
    process.exitCode = ExitCode.FAILED;
  }
  await Promise.all([written(process.stdout), written(process.stderr)]);
  // Sockets and workers of libraries must not keep a command alive that is done.
  process.exit();
}

/** A terminal that was closed, or a reader that went away (`| head`), must not end a backup half-way. */
function surviveBrokenPipes(): void {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
}

function written(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    if (stream.writableLength === 0 || stream.destroyed) resolve();
    else stream.write('', () => resolve());
  });
}
