import type { DomainInfo } from '@virtnbd/libvirt-ops';
import { expect, test } from 'vitest';
import { restoreVmState, type VmPower, type VmTraces } from '../src/guest/started-vm.ts';

/** A VM in this state; tells what was done to it. */
async function restored(found: Pick<DomainInfo, 'state' | 'id'>, traces: VmTraces): Promise<string[]> {
  const done: string[] = [];
  const vm: VmPower = {
    lookup: async () => ({ uuid: 'u', name: 'vm', persistent: true, active: found.id !== null, ...found }),
    start: async () => void done.push('start'),
    destroy: async () => void done.push('destroy'),
    resume: async () => void done.push('resume'),
  };
  await restoreVmState(vm, 'u', traces);
  return done;
}

test.each([
  ['that the run has started', { state: 'paused', id: 7 }, { startedVm: 7 }, ['destroy']],
  ['of a start that was not recorded any more', { state: 'paused', id: 7 }, { startedVm: 0 }, ['destroy']],
  ['that somebody has let run since', { state: 'running', id: 7 }, { startedVm: 7 }, []],
  ['that somebody has started since', { state: 'paused', id: 8 }, { startedVm: 7 }, []],
  ['that is off again', { state: 'shutoff', id: null }, { startedVm: 7 }, []],
  ['that the run has paused', { state: 'paused', id: 7 }, { pausedVm: true }, ['resume']],
  ['that goes on already', { state: 'running', id: 7 }, { pausedVm: true }, []],
  ['to which the run did nothing', { state: 'paused', id: 7 }, {}, []],
] as const)('a VM %s', async (_name, found, traces, done) => {
  expect(await restored(found, traces)).toEqual(done);
});
