import { afterEach, describe, expect, test, vi } from 'vitest';
import { installSignalHandlers, type SignalHandlers } from '../src/index.ts';

let handlers: SignalHandlers | undefined;
afterEach(() => {
  handlers?.dispose();
  vi.useRealTimers();
});

const send = (signal: 'SIGTERM' | 'SIGINT') => process.emit(signal, signal);

describe('installSignalHandlers', () => {
  test('aborts with the signal as the reason', () => {
    handlers = installSignalHandlers();
    send('SIGTERM');
    expect(handlers.received).toBe('SIGTERM');
    expect(handlers.signal.reason).toMatchObject({ code: 'INTERRUPTED', signal: 'SIGTERM' });
  });

  test('ends by force after a second signal, but gives the clean-up its time', () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    const exit = vi.fn();
    handlers = installSignalHandlers({ cleanUpMs: 1000, exit });
    send('SIGINT');
    vi.advanceTimersByTime(400);
    send('SIGINT');
    send('SIGINT');
    vi.advanceTimersByTime(599);
    expect(exit).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(exit).toHaveBeenCalledExactlyOnceWith(130);
  });

  test('never ends by force after one signal alone', () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    const exit = vi.fn();
    handlers = installSignalHandlers({ cleanUpMs: 1000, exit });
    send('SIGTERM');
    vi.advanceTimersByTime(100_000);
    expect(exit).not.toHaveBeenCalled();
  });

  test('leaves nothing behind when disposed', () => {
    const before = process.listenerCount('SIGTERM');
    installSignalHandlers().dispose();
    expect(process.listenerCount('SIGTERM')).toBe(before);
  });
});
