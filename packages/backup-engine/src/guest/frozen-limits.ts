/**
 * Milliseconds, from the moment that the freeze is asked for, after which the guest's file systems are thawed whether
 * the job has begun or not. The agent has at most half of it for the freeze; beginning a job takes a fraction.
 */
export const MAX_FROZEN_MS = 20_000;
/** Milliseconds that the watchdog gives the run to keep the limit by itself. */
export const WATCHDOG_GRACE_MS = 2_000;
