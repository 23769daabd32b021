import { type Companion, startCompanion } from '@virtnbd/host';
import { CliError } from './errors.ts';
import type { LineSink, LogLevel } from './logger.ts';

/** RFC 5424, 6.2.1: facility 1 (user level), and the severity. */
const FACILITY = 1 * 8;
const severities: Readonly<Record<LogLevel, number>> = { debug: 7, info: 6, warning: 4, error: 3 };

/**
 * The system's log, through util-linux's `logger`, which knows where the system keeps it; so no native code is needed.
 *
 * @param name stands before each line
 * @param args more arguments of `logger`
 * @throws CliError NO_SYSLOG where there is no `logger`
 */
export async function openSyslog(name: string, args: readonly string[] = []): Promise<LineSink> {
  const options = ['--prio-prefix', '--skip-empty', `--id=${process.pid}`, '--tag', name, ...args];
  const logger = await startCompanion('logger', options).catch((cause: unknown) => {
    const text = 'the system log needs the program logger; install it (Debian: apt-get install bsdutils)';
    throw new CliError('NO_SYSLOG', text, { cause });
  });
  return new Syslog(logger);
}

class Syslog implements LineSink {
  readonly #logger: Companion;

  constructor(logger: Companion) {
    this.#logger = logger;
  }

  line(level: LogLevel, text: string): void {
    const priority = `<${FACILITY + severities[level]}>`;
    // logger has ended: close says so.
    for (const part of text.split('\n')) this.#logger.say(`${priority}${part}`).catch(() => undefined);
  }

  async close(): Promise<string | null> {
    this.#logger.end();
    const { code } = await this.#logger.exited;
    const said = this.#logger.stderr().trim();
    return code === 0 && said === '' ? null : `the system log may lack lines: ${said || `logger ended with ${code}`}`;
  }
}
