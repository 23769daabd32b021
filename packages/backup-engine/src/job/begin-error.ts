import { LibvirtError } from '@virtnbd/libvirt-ops';
import { BackupError, bitmapExists } from '../errors.ts';
import type { RunPlan } from '../plan/plan.ts';

type Circumstances = Pick<RunPlan, 'parent' | 'domain' | 'checkpoint' | 'disks' | 'securityModels'>;

/** What libvirt says when a job does not begin, with what to do about it where that is known. */
export function beginError(error: unknown, plan: Circumstances, socketPath: string | null): unknown {
  if (!(error instanceof LibvirtError)) return error;
  const { parent, domain, checkpoint, disks } = plan;
  // libvirt passes on what QEMU says, under a code that means anything.
  if (checkpoint !== null && /bitmap already exists/i.test(error.message))
    return bitmapExists(checkpoint, disks.map(({ target }) => target).join(' or '), error);
  if (error.code === 'CHECKPOINT_INCONSISTENT' && parent !== null)
    return new BackupError(
      'BITMAP_LOST',
      `a disk of the VM ${domain.name} has just lost what has changed since ${parent}; run the backup again, which ` +
        'then saves all of that disk',
      { cause: error },
    );
  if (/permission denied|failed to bind socket|could not (open|create)/i.test(error.message))
    return new BackupError('NOT_PERMITTED', `${error.message}; ${remedy(plan, socketPath ?? 'the port')}`, {
      cause: error,
    });
  return error;
}

function remedy({ securityModels, domain }: Circumstances, socketPath: string): string {
  if (securityModels.includes('apparmor'))
    return (
      `the VM's qemu is confined by AppArmor, whose profile must permit ${socketPath} and the scratch files; see: ` +
      "journalctl -k --grep apparmor; permit them: printf '/var/tmp/virtnbdbackup.* rw,\\n/var/tmp/backup.* rw,\\n' >> " +
      '/etc/apparmor.d/local/abstractions/libvirt-qemu; then restart the VM'
    );
  if (securityModels.includes('selinux'))
    return (
      `the VM's qemu is confined by SELinux; see: ausearch -m avc -ts recent; permit it: ausearch -m avc -ts recent | ` +
      'audit2allow -M virtnbd && semodule -i virtnbd.pp'
    );
  return (
    `the user of the VM's qemu may not use ${socketPath} or the scratch folder; see which one it is: ps -o user= -p ` +
    `"$(pgrep -f 'guest=${domain.name},')"`
  );
}
