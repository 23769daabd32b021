import { Command, Errors, type Interfaces, loadHelpClass } from '@oclif/core';
import { argumentSpecOf } from './argument-spec.ts';
import { describeError } from './describe-error.ts';
import { InterruptedError, UsageError } from './errors.ts';
import { ExitCode, exitCodeOf, exitCodeOfSignal } from './exit-code.ts';
import { Logger, type LogLevel } from './logger.ts';
import { normaliseArguments } from './normalise-arguments.ts';
import { commonFlags, guardValues, unguardedFlags, usageErrorOf } from './parse-flags.ts';
import { openProgress, type Progress } from './progress.ts';
import { Screen } from './screen.ts';
import { installSignalHandlers, type SignalHandlers } from './signals.ts';

/** The values of a command's own flags and the common ones. */
export type CommandFlags<T extends typeof Command> = Interfaces.InferredFlags<typeof commonFlags & T['flags']>;

/** What a command works with while it runs. */
export interface Session {
  /** Aborted by SIGINT, SIGTERM and SIGHUP: clean up and reject with its reason. */
  readonly signal: AbortSignal;
  readonly log: Logger;
  readonly progress: Progress;
  /** From here on a signal is how the command is meant to end, as a server does: no warning, and no error. */
  expectSignal(): void;
}

/** Milliseconds that a clean-up has after a signal or a crash. */
const CLEAN_UP_MS = 10_000;

/**
 * A command that takes the established command lines, ends in good order on a signal, and turns errors into one message
 * and an exit code. Nothing it imports should be heavy: load engines inside `perform`, so that --help is quick.
 *
 * @example
 * export default class Backup extends BaseCommand<typeof Backup> {
 *   static override flags = { domain: Flags.string({ char: 'd', required: true }) };
 *   static override established = ['domain'];
 *   async perform(flags: CommandFlags<typeof Backup>, { log, signal }: Session) { … }
 * }
 */
export abstract class BaseCommand<T extends typeof Command> extends Command {
  static override baseFlags = commonFlags;
  /** Long names of the flags that the established command has too: prefixes of them are understood. */
  static established: readonly string[] = [];
  /** Flags that may stand without a value: long name → the value that this means. */
  static bareValues: Readonly<Record<string, string>> = {};
  /** Flags whose values are never logged. */
  static secrets: readonly string[] = ['password'];

  /** Does the work. Rejects, or returns an exit code; nothing means DONE. */
  protected abstract perform(flags: CommandFlags<T>, session: Session): Promise<ExitCode | undefined>;

  protected override async init(): Promise<void> {
    await super.init();
    const { flags, baseFlags, established, bareValues } = this.#shape();
    const known = [...Object.keys(commonFlags), ...established];
    this.argv = normaliseArguments(this.argv, argumentSpecOf({ ...baseFlags, ...flags }, known, bareValues));
    const end = this.argv.indexOf('--');
    const words = end === -1 ? this.argv : this.argv.slice(0, end);
    if (words.includes('--help')) await this.#showHelp();
    if (words.includes('--version')) this.#showVersion();
  }

  override async run(): Promise<number> {
    const flags = await this.#parse();
    const screen = new Screen(process.stderr, { colour: flags.nocolor !== true });
    const log = new Logger({ screen, level: levelOf(flags) });
    for (const name of this.#shape().secrets) {
      const secret = flags[name];
      if (typeof secret === 'string') log.addSecret(secret);
    }
    let expected = false;
    const signals = installSignalHandlers({
      cleanUpMs: CLEAN_UP_MS,
      onSignal: (signal, leftMs) => {
        if (leftMs !== undefined)
          log.warn(`${signal} again: still cleaning up, ending by force in ${Math.ceil(leftMs / 1000)} s`);
        else if (expected) log.info(`ended by ${signal}`);
        else log.warn(`${signal}: cleaning up; please wait`);
      },
    });
    const stopWatching = watchForCrash(log, signals);
    const enabled = flags.noprogress !== true && flags.quiet !== true;
    const progress = await openProgress({ screen, log, enabled });
    const expectSignal = (): void => {
      expected = !signals.signal.aborted;
    };
    const session: Session = { signal: signals.signal, log, progress, expectSignal };
    try {
      process.exitCode = await this.#perform(flags, session, { signals, isExpected: () => expected });
    } finally {
      stopWatching();
      signals.dispose();
    }
    return process.exitCode;
  }

  async #perform(flags: Interfaces.OutputFlags<Interfaces.FlagInput>, session: Session, ending: Ending) {
    const { log, progress } = session;
    let returned: ExitCode = ExitCode.DONE;
    let forced: number | undefined;
    try {
      // oclif knows the flags by name only; their types are those of the class that the flags come from.
      returned = (await this.perform(flags as CommandFlags<T>, session)) ?? ExitCode.DONE;
    } catch (error) {
      progress.stop();
      forced = reportFailure(error, log, ending);
    }
    progress.stop();
    await log.close();
    const { errors, warnings } = log;
    return forced ?? exitCodeOf({ returned, errors, warnings, strict: flags.strict === true });
  }

  /** Errors before the work begins: of the command line, or ours. */
  protected override async catch(error: Error): Promise<void> {
    if (error instanceof Errors.ExitError) {
      process.exitCode = error.oclif.exit ?? ExitCode.DONE;
      return;
    }
    const isUsage = error instanceof UsageError;
    process.exitCode = isUsage ? ExitCode.USAGE : ExitCode.FAILED;
    const hint = isUsage ? `\n${this.config.bin} --help tells the options` : '';
    process.stderr.write(`${this.config.bin}: ${describeError(error, { verbose: !isUsage })}${hint}\n`);
  }

  #shape(): Shape {
    return this.ctor as typeof Command & Shape;
  }

  async #parse(): Promise<Interfaces.OutputFlags<Interfaces.FlagInput>> {
    const { flags, baseFlags } = this.#shape();
    try {
      const input = { flags: unguardedFlags(flags), baseFlags: unguardedFlags(baseFlags), args: this.ctor.args };
      return (await this.parse({ ...input, strict: this.ctor.strict }, guardValues(this.argv))).flags;
    } catch (error) {
      throw usageErrorOf(error);
    }
  }

  async #showHelp(): Promise<never> {
    this.parsed = true;
    const { config } = this;
    const command = config.findCommand(this.id ?? '', { must: true });
    const Help = await loadHelpClass(config);
    const help = new Help(config, config.pjson.oclif.helpOptions ?? {});
    // The id of a single command is a placeholder of oclif's, not a word that the user types.
    const shown = config.isSingleCommandCLI
      ? { ...command, id: '', usage: command.usage ?? usageOf(command) }
      : command;
    await help.showCommandHelp(shown, config.topics);
    return this.exit(ExitCode.DONE);
  }

  #showVersion(): never {
    this.parsed = true;
    this.log(`${this.config.bin} ${this.config.version}`);
    return this.exit(ExitCode.DONE);
  }
}

/** What may end a command before its work is done. */
interface Ending {
  readonly signals: SignalHandlers;
  /** Whether a signal is no interruption. */
  isExpected(): boolean;
}

interface Shape {
  flags: Interfaces.FlagInput;
  baseFlags: Interfaces.FlagInput;
  established: readonly string[];
  bareValues: Readonly<Record<string, string>>;
  secrets: readonly string[];
}

function levelOf(flags: Readonly<Record<string, unknown>>): LogLevel {
  if (flags.verbose === true) return 'debug';
  return flags.quiet === true ? 'error' : 'info';
}

/** The required flags; all the others stand below it anyway. */
function usageOf(command: Command.Loadable): string {
  const required = Object.values(command.flags).filter((flag) => flag.required === true);
  const words = required.map((flag) => `${flag.char === undefined ? `--${flag.name}` : `-${flag.char}`} <value>`);
  return [...words, '[options]'].join(' ');
}

/** Logs why the work ended early; gives the exit code. */
function reportFailure(error: unknown, log: Logger, { signals, isExpected }: Ending): number {
  if (error instanceof Errors.ExitError) return error.oclif.exit ?? ExitCode.DONE;
  const { received } = signals;
  if (received !== undefined && error === signals.signal.reason) {
    if (!isExpected()) log.error(new InterruptedError(received).message);
  } else if (error !== signals.signal.reason) log.failure(error);
  if (received !== undefined) return exitCodeOfSignal(received);
  return error instanceof UsageError ? ExitCode.USAGE : ExitCode.FAILED;
}

/** An exception that nobody caught ends the work in good order too: a guest may be frozen. */
function watchForCrash(log: Logger, signals: SignalHandlers): () => void {
  const onCrash = (error: unknown) => {
    log.failure(error);
    signals.abort(error);
    setTimeout(() => process.exit(ExitCode.FAILED), CLEAN_UP_MS).unref();
  };
  process.on('uncaughtException', onCrash);
  return () => process.off('uncaughtException', onCrash);
}
