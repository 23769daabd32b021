import { Screen } from '@virtnbd/cli-kit';

/** Standard output: where results go. Waits for slow readers, so that a million lines are never kept in memory. */
export class Output {
  /** Columns that a line may have; Infinity where there is no terminal. */
  readonly width: number;
  readonly height: number;
  readonly colour: boolean;
  readonly #stream: NodeJS.WriteStream;

  constructor(options: { colour: boolean }, stream: NodeJS.WriteStream = process.stdout) {
    this.#stream = stream;
    this.colour = new Screen(stream, options).hasColour;
    this.width = stream.isTTY ? Math.max(40, stream.columns || 80) : Number.POSITIVE_INFINITY;
    this.height = stream.isTTY ? Math.max(10, stream.rows || 24) : 40;
  }

  async write(text: string): Promise<void> {
    if (this.#stream.write(text) || this.#stream.destroyed) return;
    await new Promise<void>((resolve) => {
      // The reader may go away without another word (`| head`).
      const done = (): void => {
        this.#stream.off('drain', done).off('close', done).off('error', done);
        resolve();
      };
      this.#stream.on('drain', done).on('close', done).on('error', done);
    });
  }

  async lines(lines: Iterable<string>): Promise<void> {
    let text = '';
    for (const line of lines) {
      text += `${line}\n`;
      if (text.length < 64 * 1024) continue;
      await this.write(text);
      text = '';
    }
    await this.write(text);
  }
}
