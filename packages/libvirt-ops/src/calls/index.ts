import { blockJobCalls } from './block-jobs.ts';
import { checkpointCalls } from './checkpoints.ts';
import { connectCalls } from './connect.ts';
import { domainCalls } from './domains.ts';
import { guestCalls } from './guest.ts';
import { jobCalls } from './jobs.ts';
import { screenCalls } from './screen.ts';
import { Session } from './session.ts';
import { storageCalls } from './storage.ts';

/** Every call that a worker thread answers, by name. */
export function createCalls() {
  const session = new Session();
  return {
    ...connectCalls(session),
    ...domainCalls(session),
    ...jobCalls(session),
    ...checkpointCalls(session),
    ...guestCalls(session),
    ...blockJobCalls(session),
    ...screenCalls(session),
    ...storageCalls(session),
  };
}

export type Calls = ReturnType<typeof createCalls>;
