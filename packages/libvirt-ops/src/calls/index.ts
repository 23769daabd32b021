import { checkpointCalls } from './checkpoints.ts';
import { connectCalls } from './connect.ts';
import { domainCalls } from './domains.ts';
import { guestCalls } from './guest.ts';
import { jobCalls } from './jobs.ts';
import { Session } from './session.ts';

/** Every call that a worker thread answers, by name. */
export function createCalls() {
  const session = new Session();
  return {
    ...connectCalls(session),
    ...domainCalls(session),
    ...jobCalls(session),
    ...checkpointCalls(session),
    ...guestCalls(session),
  };
}

export type Calls = ReturnType<typeof createCalls>;
