import type { BackupEvent } from '@virtnbd/backup-engine';

/** Milliseconds between two lines of a disk's progress. */
const PROGRESS_MS = 1_000;

interface Sums {
  readonly total: number;
  readonly since: number;
  done: number;
  told: number;
}

/** Writes events as JSON lines: EVENTS.md says what each holds. */
export class JsonLines {
  readonly #write: (line: string) => void;
  readonly #now: () => number;
  readonly #disks = new Map<string, Sums>();

  /** @param now milliseconds of a steady clock */
  constructor(write: (line: string) => void, now: () => number = () => performance.now()) {
    this.#write = write;
    this.#now = now;
  }

  /** One line: `event`, `time` and what belongs to it. */
  tell(event: string, fields: object = {}): void {
    this.#write(`${JSON.stringify({ event, time: new Date().toISOString(), ...fields })}\n`);
  }

  hear(event: BackupEvent): void {
    const { type, ...fields } = event;
    if (event.type === 'progress') {
      this.#progress(event.disk, event.bytes);
      return;
    }
    if (event.type === 'disk') this.#begin(event.disk, event.dataBytes);
    if (event.type === 'disk-done') this.#tellProgress(event.disk);
    this.tell(type, fields);
  }

  #begin(disk: string, total: number): void {
    const now = this.#now();
    this.#disks.set(disk, { total, since: now, done: 0, told: now });
  }

  /** There is an event a frame: a line a second is enough. */
  #progress(disk: string, bytes: number): void {
    const sums = this.#disks.get(disk);
    if (sums === undefined) return;
    sums.done += bytes;
    if (this.#now() - sums.told >= PROGRESS_MS) this.#tellProgress(disk);
  }

  #tellProgress(disk: string): void {
    const sums = this.#disks.get(disk);
    if (sums === undefined) return;
    sums.told = this.#now();
    const { total, done, since, told } = sums;
    const bytesPerSecond = told > since ? Math.round((done / (told - since)) * 1000) : 0;
    const secondsLeft = bytesPerSecond === 0 ? null : Math.round((total - done) / bytesPerSecond);
    this.tell('progress', { disk, done, total, bytesPerSecond, secondsLeft });
  }
}
