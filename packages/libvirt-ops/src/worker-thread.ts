import { Worker } from 'node:worker_threads';
import { LibvirtError, OwnErrorCode } from './errors.ts';
import { type GuardedThread, guard, unguard } from './exit-guard.ts';
import type { CallArguments, CallName, CallResult, Failure, Reply, Request } from './messages.ts';

// Run from the sources (tests), the thread is worker.ts; built, it is worker.js beside this code.
const WORKER_FILE = new URL(import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js', import.meta.url);

/**
 * The main thread's side of one worker thread: sends requests, matches replies. The thread keeps the process alive
 * while a call is pending, and not otherwise.
 */
export class WorkerThread implements GuardedThread {
  /** Settles when the thread has ended. */
  readonly exited: Promise<void>;
  readonly #worker: Worker;
  readonly #pending = new Map<number, PromiseWithResolvers<Reply>>();
  readonly #onEnd: (reason: LibvirtError) => void;
  #lastId = 0;
  #ended: unknown;
  #running = true;
  #stuck = false;

  /** @param onEnd called once if the thread ends, or is ended, before it was told to close */
  constructor(onEnd: (reason: LibvirtError) => void = () => undefined) {
    this.#onEnd = onEnd;
    this.#worker = new Worker(WORKER_FILE, { name: 'libvirt', execArgv: [] });
    this.#worker.unref();
    this.#worker.on('message', (reply: Reply) => this.#settle(reply));
    this.#worker.on('error', (cause) => this.#fail(closed('The libvirt thread failed.', cause)));
    this.exited = new Promise((resolve) => {
      this.#worker.once('exit', () => {
        this.#running = false;
        unguard(this);
        this.#fail(closed('The libvirt thread has ended.'));
        resolve();
      });
    });
    guard(this);
  }

  /** A call is being made, or was when the thread was given up. */
  get isBusy(): boolean {
    return this.#running && (this.#stuck || this.#pending.size > 0);
  }

  /** Makes a call on the thread, after those before it. Rejects with a {@link LibvirtError}. */
  async call<K extends CallName>(name: K, ...args: CallArguments<K>): Promise<CallResult<K>> {
    if (this.#ended !== undefined) throw this.#ended;
    const id = ++this.#lastId;
    const request: Request = { id, call: name, args };
    const settled = Promise.withResolvers<Reply>();
    this.#pending.set(id, settled);
    this.#worker.ref();
    this.#worker.postMessage(request);
    const reply = await settled.promise;
    if ('value' in reply) return reply.value as CallResult<K>;
    const error = errorOf(reply.failure); // made here, so that its stack names the caller
    if (reply.failure.lost) this.kill(error);
    throw error;
  }

  /** Closes the connection and waits for the thread's end. What was asked before is answered before. */
  async close(): Promise<void> {
    const closing = this.call('close');
    this.#ended = closed('The connection is closed.');
    try {
      await closing;
    } finally {
      if (this.#running) this.#worker.ref();
      await this.exited;
    }
  }

  /**
   * Gives the thread up: pending calls reject with `reason`. A thread inside a libvirt call ends when that call
   * returns; the process does not wait for it.
   */
  kill(reason: unknown): void {
    this.#stuck ||= this.#pending.size > 0;
    this.#fail(reason);
    if (!this.#running) return;
    void this.#worker.terminate();
    this.#worker.unref(); // terminate() takes a reference
  }

  #settle(reply: Reply): void {
    const settled = this.#pending.get(reply.id);
    this.#pending.delete(reply.id);
    if (this.#pending.size === 0) this.#worker.unref();
    settled?.resolve(reply);
  }

  #fail(reason: unknown): void {
    const first = this.#ended === undefined;
    this.#ended ??= reason;
    const waiting = [...this.#pending.values()];
    this.#pending.clear();
    for (const settled of waiting) settled.reject(reason);
    if (first) this.#onEnd(reason instanceof LibvirtError ? reason : closed('The connection was given up.', reason));
  }
}

function closed(message: string, cause?: unknown): LibvirtError {
  return new LibvirtError(OwnErrorCode.closed, message, { cause });
}

function errorOf(failure: Failure): LibvirtError {
  const { code, message, call, libvirtCode, libvirtDomain, lost } = failure;
  const details = { call: call === '' ? undefined : call, libvirtCode, libvirtDomain };
  if (!lost) return new LibvirtError(code, message, details);
  const told = `The connection to libvirt was lost: ${message}. Is the daemon running? Connect again when it is.`;
  return new LibvirtError(OwnErrorCode.connect, told, details);
}
