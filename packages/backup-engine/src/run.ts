import { logFileName, type Recovery, recover, SetLock, VmLock } from '@virtnbd/backup-set';
import { Connections } from './connections.ts';
import type { BackupContext, BackupRequest, BackupResult, SkippedBackup } from './context.ts';
import type { BackupListener, BackupStep } from './events.ts';
import { thawAfterwards } from './guest/thaw-afterwards.ts';
import { totalBytes } from './plan/estimate.ts';
import { placeOf, prepare } from './plan/prepare.ts';
import { settle, settleStarted } from './recovery.ts';
import type { RunTools } from './run-tools.ts';
import { makePoint } from './transaction.ts';
import { type LockWait, whenFree } from './wait-for-lock.ts';

/**
 * Makes one backup of one VM. Resolves when the restore point is committed, the job has ended and nothing but the point
 * is left. In every other case it rejects, and then, unless the message says otherwise, nothing has changed: the next
 * increment starts from where this one would have.
 *
 * Where less has changed than `request.threshold`, no backup is made.
 *
 * On abort it rejects with the signal's reason, after the job has ended, the guest is thawed and all is rolled back.
 *
 * @throws BackupError, and the errors of the packages it works with: LibvirtError, NbdError, HostError, BackupSetError,
 *   CheckpointStoreError, StreamFormatError
 */
export async function runBackup(request: BackupRequest, context: BackupContext): Promise<BackupResult | SkippedBackup> {
  const tell: BackupListener = (event) => context.onEvent?.(event);
  const step = (name: BackupStep): void => tell({ type: 'step', step: name });
  const signal = context.signal ?? new AbortController().signal;
  signal.throwIfAborted();
  await using connections = await Connections.open(context);
  const { libvirt, second } = connections;
  step('connected');
  const { uuid } = await libvirt.lookup(request.domain);
  const { host, hypervisor } = context;
  await host.files.makeFolder(request.folder, { recursive: true });
  const wait: LockWait = {
    seconds: request.waitSeconds ?? 0,
    signal,
    onWait: (message) => tell({ type: 'info', message: `waiting for another run: ${message}` }),
  };
  await using _setLock = await whenFree(() => SetLock.acquire(host, request.folder, { signal }), wait);
  const lockFolder = context.lockFolder ?? '/var/tmp';
  await using _vmLock = await whenFree(() => VmLock.acquire(host, lockFolder, uuid, { signal }), wait);
  if (context.pipe === undefined) await context.onFolder?.(logFileName(request.level, new Date()));
  step('locked');
  const uncommitted: string[] = [];
  for (const recovery of await recover(host, request.folder, placeOf(request))) {
    if (recovery.action === 'rolled-back') await thawAfterwards(libvirt, uuid, { timeout: null });
    const waiting = await settle(hypervisor, libvirt, recovery);
    tell({ type: 'warning', message: recoveryNote(recovery) });
    if (waiting === null) continue;
    if (request.startDomain) {
      tell({
        type: 'info',
        message: `the VM is started, paused, to delete that run's checkpoint ${waiting}, and ended`,
      });
      await settleStarted(hypervisor, libvirt, recovery);
    } else uncommitted.push(waiting);
  }
  step('recovered');
  signal.throwIfAborted();
  const { name, state, active } = await libvirt.lookup(uuid);
  const found = active ? (state === 'running' ? 'running' : 'paused') : 'off';
  const situation = { domain: { name, uuid }, state: found, uncommitted } as const;
  const plan = await prepare(context, libvirt, situation, request, { tell, signal });
  step('planned');
  const changed = totalBytes(plan.estimates);
  const { threshold } = request;
  if (threshold !== undefined && plan.parent !== null && changed < threshold)
    return { skipped: true, estimate: changed };
  const onLibvirt: RunTools['onLibvirt'] = async (call) => {
    try {
      return await call(second);
    } catch (error) {
      if (!second.lost.aborted) throw error;
      await using fresh = await context.connect();
      return await call(fresh);
    }
  };
  return await makePoint({ context, libvirt, second, signal, tell, onLibvirt }, request, plan);
}

function recoveryNote({ action, point }: Recovery): string {
  return action === 'rolled-forward'
    ? `an earlier run was interrupted after it had committed ${point}; its last steps are done now`
    : `an earlier run was interrupted before it had committed ${point}; what it left is removed now`;
}
