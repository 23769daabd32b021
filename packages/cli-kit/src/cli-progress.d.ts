// The part of cli-progress that is used here.
declare module 'cli-progress' {
  import type { EventEmitter } from 'node:events';

  export interface Bar {
    update(value: number, payload?: Record<string, string>): void;
  }

  export interface MultiBarOptions {
    stream?: unknown;
    format?: string;
    barCompleteChar?: string;
    barIncompleteChar?: string;
    barsize?: number;
    fps?: number;
    hideCursor?: boolean;
    linewrap?: boolean;
    gracefulExit?: boolean;
    clearOnComplete?: boolean;
    emptyOnZero?: boolean;
  }

  export class MultiBar extends EventEmitter {
    constructor(options: MultiBarOptions);
    create(total: number, start: number, payload?: Record<string, string>): Bar;
    log(text: string): void;
    update(): void;
    stop(): void;
  }
}
