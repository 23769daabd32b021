import { LibvirtError } from '@virtnbd/libvirt-ops';
import { expect, test } from 'vitest';
import { inSpiteOfBusyClock } from '../src/job/busy-clock.ts';

const busy = new LibvirtError('OPERATION_FAILED', "failed to format image: 'Unable to get accurate CPU usage'");

/** Fails so many times, and counts. */
function failing(times: number, error: Error) {
  const counted = { calls: 0, begin: async () => void (counted.calls++ < times && throwing(error)) };
  return counted;
}

function throwing(error: Error): never {
  throw error;
}

test('a job for which QEMU could not time its key is begun again, some times', async () => {
  const twice = failing(2, busy);
  await inSpiteOfBusyClock(twice.begin);
  expect(twice.calls).toBe(3);
  const always = failing(Number.POSITIVE_INFINITY, busy);
  await expect(inSpiteOfBusyClock(always.begin)).rejects.toBe(busy);
  expect(always.calls).toBe(10);
});

test('any other failure counts at once', async () => {
  const error = new LibvirtError('OPERATION_FAILED', 'no space left on device');
  const once = failing(5, error);
  await expect(inSpiteOfBusyClock(once.begin)).rejects.toBe(error);
  expect(once.calls).toBe(1);
});
