import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';

/** Waits until the process has ended; kills it, and fails, when it does not. */
export async function expectGone(pid: number): Promise<void> {
  for (let round = 0; round < 500; round++) {
    const state = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null);
    if (state === null || state.includes(') Z ')) return;
    await sleep(10);
  }
  process.kill(pid, 'SIGKILL');
  expect.unreachable(`process ${pid} still runs`);
}
