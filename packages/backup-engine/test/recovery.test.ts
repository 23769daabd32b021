import { type JobTraces, type Recovery, runDescription } from '@virtnbd/backup-set';
import { LibvirtError } from '@virtnbd/libvirt-ops';
import { expect, test } from 'vitest';
import { settle, settleStarted } from '../src/recovery.ts';

const NAME = 'virtnbdbackup.1';
const RUN = '0123456789abcdef0123456789abcdef';

type Libvirt = Parameters<typeof settleStarted>[1];

/** A VM that is off with the checkpoint of a killed run, and all that is done, in its order. */
class Waiting {
  readonly done: string[] = [];
  readonly recovery: Recovery;
  readonly libvirt: Libvirt;
  #running = false;

  constructor(job: JobTraces, { deleteFails = false } = {}) {
    this.recovery = {
      ...{ action: 'rolled-back', point: NAME, level: 'inc', domain: { name: 'vm1', uuid: 'U' } },
      checkpoint: { action: 'delete', name: NAME, run: RUN, creationTime: 1 },
      ...{ superseded: [], job, removed: [] },
      setJob: async ({ startedVm }) => void this.done.push(`record ${startedVm}`),
      settle: async () => void this.done.push('intent gone'),
    };
    const description = runDescription(RUN);
    const inner = `<name>${NAME}</name><description>${description}</description><creationTime>1</creationTime>`;
    const xml = `<domaincheckpoint>${inner}</domaincheckpoint>`;
    const refuse = async (): Promise<never> => {
      throw new LibvirtError('OPERATION_INVALID', 'not expected');
    };
    this.libvirt = {
      backupXml: refuse,
      backupBegin: refuse,
      abortJob: refuse,
      createCheckpoint: refuse,
      checkpointXml: refuse,
      resume: refuse,
      checkpoints: async () => [{ name: NAME, parent: null, creationTime: 1, xml }],
      deleteCheckpoint: async () => {
        if (!this.#running) throw new LibvirtError('OPERATION_INVALID', 'domain is not running');
        if (deleteFails) throw new LibvirtError('CLOSED', 'the daemon is gone');
        this.done.push('deleted');
      },
      lookup: async () => ({
        ...{ uuid: 'U', name: 'vm1', persistent: true, active: this.#running },
        ...(this.#running ? { state: 'paused', id: 7 } : { state: 'shutoff', id: null }),
      }),
      start: async () => {
        this.#running = true;
        this.done.push('started');
      },
      destroy: async () => {
        this.#running = false;
        this.done.push('ended');
      },
    };
  }
}

const NONE = { socketPath: null, scratchFiles: [] };

test('a VM that is started for the deletion of a checkpoint is known to be ended at every moment, and off afterwards', async () => {
  const vm = new Waiting(NONE);
  await settleStarted(null, vm.libvirt, vm.recovery);
  expect(vm.done).toEqual(['record 0', 'started', 'record 7', 'deleted', 'ended', 'intent gone']);
});

test('a VM that was started in vain is off again, and the intent stays', async () => {
  const vm = new Waiting(NONE, { deleteFails: true });
  await expect(settleStarted(null, vm.libvirt, vm.recovery)).rejects.toThrow('the daemon is gone');
  expect(vm.done).toEqual(['record 0', 'started', 'record 7', 'ended']);
});

test('what a run had started has ended when the VM is off: who starts it next keeps it', async () => {
  const vm = new Waiting({ ...NONE, startedVm: 0 });
  expect(await settle(null, vm.libvirt, vm.recovery)).toBe(NAME);
  expect(vm.done).toEqual(['record undefined']);
});
