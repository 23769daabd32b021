import { BackupSetError } from '@virtnbd/backup-set';
import { expect, test } from 'vitest';
import { whenFree } from '../src/wait-for-lock.ts';

const locked = new BackupSetError('LOCKED', 'held by another');
const patient = { seconds: Number.POSITIVE_INFINITY, signal: new AbortController().signal, onWait: () => undefined };

test('a lock that is free is not waited for', async () => {
  expect(await whenFree(async () => 'lock', { ...patient, seconds: 0 })).toBe('lock');
});

test('a lock is taken once it is free, and what is waited for is told once', async () => {
  const told: string[] = [];
  let tries = 0;
  const acquire = async (): Promise<string> => {
    if (++tries < 3) throw locked;
    return 'lock';
  };
  expect(await whenFree(acquire, { ...patient, onWait: (message) => told.push(message) })).toBe('lock');
  expect(told).toEqual(['held by another']);
});

test('without patience, and for any other failure, the error comes at once', async () => {
  await expect(whenFree(() => Promise.reject(locked), { ...patient, seconds: 0 })).rejects.toBe(locked);
  const other = new BackupSetError('LOCK_DAMAGED', 'unreadable');
  await expect(whenFree(() => Promise.reject(other), patient)).rejects.toBe(other);
});

test('an abort ends the wait with its reason', async () => {
  const abort = new AbortController();
  const waiting = whenFree(() => Promise.reject(locked), {
    ...patient,
    signal: abort.signal,
    onWait: () => abort.abort(new Error('enough')),
  });
  await expect(waiting).rejects.toThrow('enough');
});
