import type { HostFile, HostFiles } from '@virtnbd/host';
import { describeError } from './describe-error.ts';
import { Redaction } from './redaction.ts';
import type { Screen } from './screen.ts';

const severity = { debug: 0, info: 1, warning: 2, error: 3 } as const;
export type LogLevel = keyof typeof severity;

const colours: Readonly<Record<LogLevel, string>> = {
  debug: '\u001b[2m',
  info: '\u001b[32m',
  warning: '\u001b[33m',
  error: '\u001b[31m',
};
const RESET = '\u001b[0m';

/** Lines kept for a log file that is attached later: the folder is known only after the first steps. */
const KEPT_LINES = 1_000;

/** Somewhere else that lines go to: the system's log. */
export interface LineSink {
  /** `text` may be several lines; it has no time, no colours, no secrets. */
  line(level: LogLevel, text: string): void;
  /** @returns what went wrong, as a sentence; null when all was taken */
  close(): Promise<string | null>;
}

export interface LoggerOptions {
  screen: Screen;
  /** The least level that is shown; a log file takes all. Default info. */
  level?: LogLevel | undefined;
  now?: (() => Date) | undefined;
}

/**
 * `2026-11-23 20:00:00 INFO text` on the screen, and in a log file where one is attached. Counts warnings and errors:
 * the exit code depends on them. Secrets are replaced by ***, control characters are escaped.
 */
export class Logger {
  readonly #screen: Screen;
  readonly #now: () => Date;
  readonly #redaction = new Redaction();
  readonly #kept: string[] = [];
  #level: LogLevel;
  #file: HostFile | undefined;
  #sink: LineSink | undefined;
  #writing: Promise<void> = Promise.resolve();
  #warnings = 0;
  #errors = 0;

  constructor(options: LoggerOptions) {
    this.#screen = options.screen;
    this.#level = options.level ?? 'info';
    this.#now = options.now ?? (() => new Date());
  }

  get warnings(): number {
    return this.#warnings;
  }

  get errors(): number {
    return this.#errors;
  }

  debug(text: string): void {
    this.#log('debug', text);
  }

  info(text: string): void {
    this.#log('info', text);
  }

  warn(text: string): void {
    this.#warnings += 1;
    this.#log('warning', text);
  }

  error(text: string): void {
    this.#errors += 1;
    this.#log('error', text);
  }

  /** Logs an error by its message; at level debug with its causes and stacks. Counts as one error. */
  failure(error: unknown): void {
    const verbose = describeError(error, { verbose: true });
    const [screen, file] = this.#level === 'debug' ? [verbose, verbose] : [describeError(error), verbose];
    this.#errors += 1;
    this.#log('error', screen, file);
  }

  /** Never shows this text, a password for instance, in any line to come. */
  addSecret(secret: string): void {
    this.#redaction.add(secret);
  }

  /** Appends all that was logged so far, and all from now on at every level, to a file (made with mode 0600). */
  async attachFile(files: HostFiles, path: string): Promise<void> {
    this.#file = await files.open(path, 'append-new');
    for (const line of this.#kept.splice(0)) this.#append(line);
  }

  /** Sends all lines from now on that are shown, or would be if the command were not quiet, to `sink`, too. */
  attachSink(sink: LineSink): void {
    this.#sink = sink;
  }

  /** Waits until the log file holds every line, and closes it. */
  async close(): Promise<void> {
    const sink = this.#sink;
    this.#sink = undefined;
    const problem = await sink?.close();
    if (typeof problem === 'string') this.warn(problem);
    await this.#writing;
    const file = this.#file;
    this.#file = undefined;
    await file?.close().catch((error: unknown) => this.warn(`the log file may be cut short: ${describeError(error)}`));
  }

  #log(level: LogLevel, text: string, textForFile = text): void {
    const now = this.#now();
    if (severity[level] >= severity[this.#level])
      this.#screen.print(this.#line(now, level, text, this.#screen.hasColour));
    if (level !== 'debug' || this.#level === 'debug') this.#sink?.line(level, this.#clean(text));
    this.#append(`${this.#line(now, level, textForFile, false)}\n`);
  }

  #clean(text: string): string {
    return escapeControls(this.#redaction.apply(text)).trimEnd();
  }

  #line(time: Date, level: LogLevel, text: string, colour: boolean): string {
    const name = level.toUpperCase();
    const [first = '', ...more] = this.#clean(text).split('\n');
    const head = `${timestamp(time)} ${colour ? `${colours[level]}${name}${RESET}` : name} ${first}`;
    return [head, ...more.map((line) => `  ${line}`)].join('\n');
  }

  #append(line: string): void {
    const file = this.#file;
    if (file === undefined) {
      this.#kept.push(line);
      if (this.#kept.length > KEPT_LINES) this.#kept.shift();
      return;
    }
    this.#writing = this.#writing
      .then(() => file.write([new TextEncoder().encode(line)]))
      .catch((error: unknown) => this.#fileFailed(error));
  }

  #fileFailed(error: unknown): void {
    // Once: every later write to the same file would say the same.
    if (this.#file === undefined) return;
    const file = this.#file;
    this.#file = undefined;
    file.close().catch(() => undefined);
    this.warn(`the log file is no longer written: ${describeError(error)}`);
  }
}

/** Local time: `2026-11-23 20:00:00`. */
function timestamp(time: Date): string {
  const two = (value: number) => String(value).padStart(2, '0');
  const date = [time.getFullYear(), two(time.getMonth() + 1), two(time.getDate())].join('-');
  return `${date} ${[time.getHours(), time.getMinutes(), time.getSeconds()].map(two).join(':')}`;
}

/** A name from a backup or a program's output must not move the cursor or forge a line of its own. */
function escapeControls(text: string): string {
  return text.replace(/\p{Cc}/gu, (character) =>
    character === '\n' || character === '\t'
      ? character
      : `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
}
