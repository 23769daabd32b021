import { type DiskDescription, parseBackupJob, parseCheckpoint } from '@virtnbd/libvirt-ops';
import { expect, test } from 'vitest';
import { type JobDisk, jobXml } from '../src/job/job.ts';

function described(target: string, rest: Partial<DiskDescription> = {}): DiskDescription {
  return {
    ...{ target, bus: null, device: 'disk', type: 'file', format: 'qcow2', source: `/images/${target}` },
    ...{ readonly: false, shareable: false, transient: false, backingChain: false, encrypted: false },
    ...rest,
  } as const;
}

const all = [
  described('vda'),
  described('vdb'),
  described('sda', { device: 'lun', type: 'block', format: 'raw', source: '/dev/sdz' }),
  described('vdc', { format: 'raw' }),
  described('sdb', { device: 'cdrom', format: 'raw', source: null }),
  described('vdd', { readonly: true }),
];
const saved: JobDisk[] = [
  { target: 'vda', since: 'virtnbdbackup.0', tracksChanges: true },
  { target: 'vdb', since: null, tracksChanges: true },
  { target: 'sda', since: null, tracksChanges: false },
];
const plan = {
  server: { socketPath: '/run/job' },
  scratchFiles: new Map(saved.map(({ target }) => [target, `/scratch/${target}`])),
  checkpoint: { name: 'virtnbdbackup.1', description: 'virtnbd run x' },
};

test('a base and a LUN are whole in an incremental job, and a disk by its changes has its bitmap exported', async () => {
  const { backupXml } = jobXml(plan, saved, all);
  const job = await parseBackupJob(backupXml);
  expect(job.incremental).toBe('virtnbdbackup.0');
  expect(job.disks.map(({ target, backup, exportBitmap }) => [target, backup, exportBitmap])).toEqual([
    ['vda', true, 'dirty-vda'],
    ['vdb', true, null],
    ['sda', true, null],
    ['vdc', false, null],
  ]);
  expect(backupXml.match(/<disk name="(\w+)"[^>]*backupmode="full"/g)).toHaveLength(2);
});

test('disks that keep no bitmap, or are not saved, take no part in the checkpoint', async () => {
  const { disks } = await parseCheckpoint(
    (jobXml(plan, saved, all).checkpointXml ?? '').replace('<disks>', '<creationTime>1</creationTime><disks>'),
  );
  expect(disks.map(({ target, checkpoint }) => [target, checkpoint])).toEqual([
    ['vda', true],
    ['vdb', true],
    ['sda', false],
    ['vdc', false],
  ]);
});

test('a job of whole disks alone is not incremental', async () => {
  const { backupXml } = jobXml(plan, saved.slice(1), all);
  expect((await parseBackupJob(backupXml)).incremental).toBeNull();
  expect(backupXml).not.toContain('backupmode');
});

test('the scratch file of an encrypted disk is encrypted with its secret', () => {
  const disk = { target: 'vda', since: null, tracksChanges: true, secret: { uuid: 'a-secret' } };
  expect(jobXml(plan, [disk], all).backupXml).toContain(
    '<encryption format="luks"><secret type="passphrase" uuid="a-secret"/></encryption>',
  );
});
