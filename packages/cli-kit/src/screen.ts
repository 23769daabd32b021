/** The stream that a command talks to the user on. */
export interface OutputStream {
  write(text: string): unknown;
  readonly isTTY?: boolean | undefined;
}

/** What stands below the lines and is drawn again after each of them: the progress bars. */
export interface Footer {
  /** Prints whole lines above itself. */
  printAbove(text: string): void;
}

/** Lines on the terminal, or in a pipe, that do not tear the progress bars apart. */
export class Screen {
  readonly stream: OutputStream;
  /** False for pipes, files and terminals that cannot move the cursor. */
  readonly isTerminal: boolean;
  readonly hasColour: boolean;
  #footer: Footer | undefined;

  constructor(stream: OutputStream, options: { colour?: boolean | undefined; env?: NodeJS.ProcessEnv } = {}) {
    const { colour = true, env = process.env } = options;
    this.stream = stream;
    this.isTerminal = stream.isTTY === true && env.TERM !== 'dumb';
    // https://no-color.org: set and not empty
    this.hasColour = this.isTerminal && colour && (env.NO_COLOR ?? '') === '';
  }

  /** Prints text, which may be several lines, and a line break. */
  print(text: string): void {
    if (this.#footer !== undefined) this.#footer.printAbove(`${text}\n`);
    else this.stream.write(`${text}\n`);
  }

  setFooter(footer: Footer | undefined): void {
    this.#footer = footer;
  }
}
