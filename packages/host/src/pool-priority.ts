import { readdir, readFile } from 'node:fs/promises';
import { getPriority, setPriority } from 'node:os';

/** As libuv (since 1.50) calls the threads of its pool. */
const POOL_THREAD = 'libuv-worker';
/** Steps of niceness: a third of the main thread's share of a processor that both want. */
const STEPS = 5;
const NICEST = 19;
const THREADS = '/proc/self/task';

/**
 * Lets the threads of libuv's pool, where compression runs, have less of the processor than the main thread: it feeds them,
 * and must not wait for its turn behind them. It lasts as long as the process, so it is for a program to do, not for a library.
 * Where the system does not let us, or the threads are not known by their name, nothing changes.
 */
export async function yieldPoolThreads(): Promise<void> {
  const niceness = Math.min(NICEST, getPriority() + STEPS);
  for (const thread of await readdir(THREADS).catch(() => [])) {
    const name = await readFile(`${THREADS}/${thread}/comm`, 'utf8').catch(() => '');
    if (name.trim() !== POOL_THREAD) continue;
    try {
      // On Linux a thread's number is as good as a process's here.
      setPriority(Number(thread), niceness);
    } catch {
      // It is a matter of speed only.
    }
  }
}
