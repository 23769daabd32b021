import { leaveProcess } from './ffi/leave-process.ts';

/** A thread that may be inside a libvirt call, where nothing can stop it. */
export interface GuardedThread {
  readonly isBusy: boolean;
}

const threads = new Set<GuardedThread>();

/** From now on, the process can end while this thread is stuck in a call. Undone by {@link unguard}. */
export function guard(thread: GuardedThread): void {
  if (threads.size === 0) process.on('exit', leaveIfStuck);
  threads.add(thread);
}

export function unguard(thread: GuardedThread): void {
  threads.delete(thread);
  if (threads.size === 0) process.off('exit', leaveIfStuck);
}

function leaveIfStuck(code: number): void {
  const stuck = [...threads].some((thread) => thread.isBusy);
  if (stuck) leaveProcess(Number(process.exitCode ?? code));
}
