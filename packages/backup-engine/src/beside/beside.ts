import { autostartName, guestInfoName, recoveryKeyName, type SetTransaction, tpmStateName } from '@virtnbd/backup-set';
import type { Host } from '@virtnbd/host';
import type { LibvirtConnection } from '@virtnbd/libvirt-ops';
import type { BackupListener } from '../events.ts';
import { withAgentTimeout } from '../guest/agent-timeout.ts';
import { isWindows, readRecoveryKeys } from '../guest/recovery-keys.ts';
import { requireHypervisor } from '../job/job-paths.ts';
import type { RunPlan } from '../plan/plan.ts';
import { bootFileSource } from './boot-file-source.ts';
import { tpmStateArchive } from './tpm-state.ts';

interface BesideWork {
  /** Where qemu and the VM's files are. */
  readonly hypervisor: Host | null;
  /** A connection that nothing else waits for. */
  readonly libvirt: LibvirtConnection;
  readonly transaction: SetTransaction;
  readonly plan: RunPlan;
  /** Whether the guest's agent has answered in this run. */
  readonly agentAnswers: boolean;
  readonly tell: BackupListener;
  readonly signal: AbortSignal;
}

/** Names of the files that `saveBeside` makes whatever the guest says. */
export function besideNames({ beside, point }: Pick<RunPlan, 'beside' | 'point'>): string[] {
  return [
    ...beside.bootFiles.map(({ name }) => name),
    ...(beside.autostart ? [autostartName(point)] : []),
    ...(beside.tpmFolder === null ? [] : [tpmStateName(point)]),
  ];
}

/**
 * Saves what belongs to the VM beside its disks. Files of the VM's are copied or the run fails; what only the guest's
 * agent can tell is left out with a warning when it does not.
 */
export async function saveBeside(work: BesideWork): Promise<void> {
  const { hypervisor, libvirt, transaction, plan, signal } = work;
  const { point, beside } = plan;
  const source = bootFileSource(hypervisor, libvirt);
  for (const { path, name } of beside.bootFiles)
    await transaction.writeCopy(name, 'boot', source.content(path, signal));
  // The text that the established tool writes.
  if (beside.autostart) await transaction.writeSmall(autostartName(point), 'autostart', 'True');
  if (beside.tpmFolder !== null)
    await transaction.writeCopy(
      tpmStateName(point),
      'tpm-state',
      tpmStateArchive(requireHypervisor(hypervisor), beside.tpmFolder),
    );
  if (work.agentAnswers) await withAgentTimeout(work.libvirt, plan.domain.uuid, plan.agent, () => saveGuestInfo(work));
}

async function saveGuestInfo({ libvirt, transaction, plan, tell, signal }: BesideWork): Promise<void> {
  const { domain, point } = plan;
  const info = await libvirt.guestInfo(domain.uuid).catch((error: unknown) => {
    tell({ type: 'warning', message: `the guest's agent tells nothing of its system: ${textOf(error)}` });
    return null;
  });
  if (info === null) return;
  const json = JSON.stringify(info, (_key, value) => (typeof value === 'bigint' ? String(value) : value), 2);
  await transaction.writeSmall(guestInfoName(point), 'guest-info', `${json}\n`);
  if (!isWindows(info)) return;
  const keys = await readRecoveryKeys(libvirt, domain.uuid, signal).catch((error: unknown) => {
    signal.throwIfAborted();
    tell({ type: 'warning', message: `the guest's BitLocker recovery keys are not saved: ${textOf(error)}` });
    return [];
  });
  for (const { volume, text } of keys) {
    await transaction.writeSmall(recoveryKeyName(volume, point), 'recovery-key', text);
    tell({
      type: 'info',
      message: `saved the BitLocker recovery key of volume ${volume}; whoever has it reads the volume`,
    });
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
