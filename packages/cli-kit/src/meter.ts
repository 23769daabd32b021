import { formatBytes, formatDuration } from './amounts.ts';

/** Milliseconds over which the present rate is taken. */
const WINDOW = 10_000;

/** How far one disk is: bytes done, rate over the last ten seconds, time left. */
export class Meter {
  readonly name: string;
  readonly total: number;
  readonly #now: () => number;
  readonly #started: number;
  #samples: { at: number; done: number }[];
  #done = 0;

  /** @param now milliseconds of a steady clock */
  constructor(name: string, total: number, now: () => number = () => performance.now()) {
    this.name = name;
    this.total = total;
    this.#now = now;
    this.#started = now();
    this.#samples = [{ at: this.#started, done: 0 }];
  }

  get done(): number {
    return this.#done;
  }

  /** 0 … 100, 100 only when all is done. */
  get percent(): number {
    return this.total === 0 ? 100 : Math.min(100, Math.floor((this.#done / this.total) * 100));
  }

  update(done: number): void {
    this.#done = Math.min(Math.max(0, done), this.total);
    const now = this.#now();
    const last = this.#samples.at(-1);
    if (last !== undefined && now - last.at < 200) return;
    this.#samples.push({ at: now, done: this.#done });
    const old = this.#samples.findIndex((sample) => now - sample.at <= WINDOW);
    if (old > 1) this.#samples = this.#samples.slice(old - 1);
  }

  /** Bytes a second. */
  get rate(): number {
    const first = this.#samples[0];
    const elapsed = first === undefined ? 0 : this.#now() - first.at;
    return first === undefined || elapsed <= 0 ? 0 : ((this.#done - first.done) / elapsed) * 1000;
  }

  /** `1.0 GiB of 4.0 GiB` */
  get amountText(): string {
    return `${formatBytes(this.#done)} of ${formatBytes(this.total)}`;
  }

  get rateText(): string {
    return `${formatBytes(this.rate)}/s`;
  }

  /** `9 s left`; `?` while nothing moves. */
  get leftText(): string {
    if (this.#done >= this.total) return 'done';
    const rate = this.rate;
    return rate === 0 ? '? left' : `${formatDuration(((this.total - this.#done) / rate) * 1000)} left`;
  }

  /** `1.0 GiB in 9 s, 110 MiB/s` for one that has ended. */
  get summary(): string {
    const elapsed = this.#now() - this.#started;
    const rate = elapsed > 0 ? `, ${formatBytes((this.#done / elapsed) * 1000)}/s` : '';
    return `${formatBytes(this.#done)} in ${formatDuration(elapsed)}${rate}`;
  }
}
