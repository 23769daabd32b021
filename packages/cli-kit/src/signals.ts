import { InterruptedError } from './errors.ts';
import { type EndSignal, endSignals, exitCodeOfSignal } from './exit-code.ts';

export interface SignalHandlers {
  /** Aborted by the first signal, with an InterruptedError as its reason. */
  readonly signal: AbortSignal;
  /** The signal that came, if one came. */
  readonly received: EndSignal | undefined;
  /** Aborts for another reason, an uncaught exception for instance. */
  abort(reason: unknown): void;
  /** Takes the handlers away. */
  dispose(): void;
}

export interface SignalOptions {
  /** Milliseconds from the first signal that the clean-up has, whatever the user presses. Default 10 000. */
  cleanUpMs?: number | undefined;
  /** Told of each signal: the first one starts the clean-up, a later one waits for it at most `leftMs`. */
  onSignal?: ((signal: EndSignal, leftMs: number | undefined) => void) | undefined;
  /** Ends the process; default process.exit. */
  exit?: ((code: number) => void) | undefined;
}

/**
 * SIGINT, SIGTERM and SIGHUP abort, so that the command ends in good order: guest thawed, job ended, checkpoint rolled
 * back. A second signal ends the process by force, but not before the clean-up had `cleanUpMs`.
 */
export function installSignalHandlers(options: SignalOptions = {}): SignalHandlers {
  const { cleanUpMs = 10_000, onSignal, exit = (code) => process.exit(code) } = options;
  const controller = new AbortController();
  let received: EndSignal | undefined;
  let deadline = 0;
  let timer: NodeJS.Timeout | undefined;
  const handle = (name: NodeJS.Signals) => {
    const signal = endSignals.find((each) => each === name);
    if (signal === undefined) return;
    if (received === undefined) {
      received = signal;
      deadline = performance.now() + cleanUpMs;
      onSignal?.(signal, undefined);
      controller.abort(new InterruptedError(signal));
      return;
    }
    const leftMs = Math.max(0, deadline - performance.now());
    onSignal?.(signal, leftMs);
    timer ??= setTimeout(() => exit(exitCodeOfSignal(signal)), leftMs);
  };
  for (const signal of endSignals) process.on(signal, handle);
  return {
    signal: controller.signal,
    get received() {
      return received;
    },
    abort: (reason) => controller.abort(reason),
    dispose() {
      clearTimeout(timer);
      for (const signal of endSignals) process.off(signal, handle);
    },
  };
}
