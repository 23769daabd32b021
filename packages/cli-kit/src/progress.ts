import type { Bar, MultiBar } from 'cli-progress';
import type { Logger } from './logger.ts';
import { Meter } from './meter.ts';
import type { Screen } from './screen.ts';

/** Milliseconds between two plain lines of a disk, unless another tenth is done; and the least between any two. */
const LONGEST_SILENCE = 30_000;
const SHORTEST_SILENCE = 1_000;

export interface ProgressTask {
  /** Bytes done so far. */
  update(done: number): void;
  /** Bytes done since the last call. */
  add(bytes: number): void;
  /** All is done, or it ended where it is. */
  finish(): void;
}

/** What the user sees of the work under way, one task a disk. */
export interface Progress {
  /** @param total bytes */
  task(name: string, total: number): ProgressTask;
  /** Takes the bars off the terminal. */
  stop(): void;
}

export interface ProgressOptions {
  screen: Screen;
  log: Logger;
  /** False under --noprogress. */
  enabled: boolean;
  /** Milliseconds of a steady clock. */
  now?: (() => number) | undefined;
}

/** Bars on a terminal, plain lines elsewhere, nothing when disabled. */
export async function openProgress(options: ProgressOptions): Promise<Progress> {
  if (!options.enabled) return noProgress;
  if (!options.screen.isTerminal) return new ProgressLines(options.log, options.now);
  // Loaded for a terminal only: it costs time at the start.
  const { default: library } = await import('cli-progress');
  return new ProgressBars(library, options.screen, options.now);
}

const noProgress: Progress = {
  task: () => ({ update() {}, add() {}, finish() {} }),
  stop() {},
};

/** A line a disk at each tenth, at most one a second, and at least one in half a minute while it is reported on. */
class ProgressLines implements Progress {
  readonly #log: Logger;
  readonly #now: () => number;

  constructor(log: Logger, now: () => number = () => performance.now()) {
    this.#log = log;
    this.#now = now;
  }

  task(name: string, total: number): ProgressTask {
    const meter = new Meter(name, total, this.#now);
    let tenth = 0;
    let last = this.#now();
    let finished = false;
    const update = (done: number) => {
      meter.update(done);
      const silence = this.#now() - last;
      const next = Math.floor(meter.percent / 10);
      if (finished || next >= 10 || silence < SHORTEST_SILENCE) return;
      if (next <= tenth && silence < LONGEST_SILENCE) return;
      tenth = next;
      last = this.#now();
      this.#log.info(`${name}: ${meter.percent} % (${meter.amountText}), ${meter.rateText}, ${meter.leftText}`);
    };
    return {
      update,
      add: (bytes) => update(meter.done + bytes),
      finish: () => {
        if (!finished) this.#log.info(`${name}: ${meter.summary}`);
        finished = true;
      },
    };
  }

  stop(): void {}
}

class ProgressBars implements Progress {
  readonly #library: { MultiBar: typeof MultiBar };
  readonly #screen: Screen;
  readonly #now: (() => number) | undefined;
  readonly #bars: { meter: Meter; bar: Bar }[] = [];
  #multiBar: MultiBar | undefined;

  constructor(library: { MultiBar: typeof MultiBar }, screen: Screen, now: (() => number) | undefined) {
    this.#library = library;
    this.#screen = screen;
    this.#now = now;
  }

  task(name: string, total: number): ProgressTask {
    const multiBar = this.#multiBar ?? this.#open();
    const meter = new Meter(name, total, this.#now);
    // A total of 0 would stand at 0 % for ever.
    const entry = { meter, bar: multiBar.create(Math.max(1, total), total === 0 ? 1 : 0, payloadOf(meter)) };
    this.#bars.push(entry);
    return {
      update: (done) => meter.update(done),
      add: (bytes) => meter.update(meter.done + bytes),
      finish: () => draw(entry),
    };
  }

  stop(): void {
    if (this.#multiBar === undefined) return;
    for (const entry of this.#bars.splice(0)) draw(entry);
    this.#screen.setFooter(undefined);
    this.#multiBar.stop();
    this.#multiBar = undefined;
  }

  #open(): MultiBar {
    const multiBar = new this.#library.MultiBar({
      stream: this.#screen.stream,
      format: '{name} [{bar}] {percent} % | {amount} | {rate} | {left}',
      barCompleteChar: '=',
      barIncompleteChar: '-',
      barsize: 30,
      fps: 5,
      // Nothing on the terminal has to be restored when we are killed. `linewrap` leaves the terminal's own wrapping
      // alone: the bars are cut to its width.
      hideCursor: false,
      linewrap: true,
      gracefulExit: false,
    });
    multiBar.on('update-pre', () => {
      for (const entry of this.#bars) draw(entry);
    });
    this.#screen.setFooter({
      printAbove: (text) => {
        // Each line overwrites an old bar, which may be longer.
        multiBar.log(text.replace(/^(?=.)/gm, '\u001b[K'));
        multiBar.update();
      },
    });
    this.#multiBar = multiBar;
    return multiBar;
  }
}

function draw({ meter, bar }: { meter: Meter; bar: Bar }): void {
  bar.update(meter.total === 0 ? 1 : meter.done, payloadOf(meter));
}

function payloadOf(meter: Meter): Record<string, string> {
  return {
    name: meter.name,
    percent: String(meter.percent).padStart(3),
    amount: meter.amountText,
    rate: meter.rateText,
    left: meter.leftText,
  };
}
