import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { BackupSet, type Recovery, readCheckpointList, recover, runDescription, SetTransaction } from '../src/index.ts';
import {
  domain,
  type Failure,
  failingHost,
  fillPoint,
  host,
  InjectedError,
  legacyFile,
  makePoint,
  type PointSpec,
  planOf,
  tempFolder,
} from './support.ts';

class Stopped extends Error {}

/** Every file below the folder with its content, to compare states. */
async function snapshot(folder: string): Promise<Record<string, string>> {
  const files: Record<string, string> = {};
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile()) files[path.slice(folder.length + 1)] = await readFile(path, 'latin1');
  }
  return files;
}

/** A recovered folder holds the state before or the state after the run, and nothing in between. */
async function expectConsistent(
  folder: string,
  before: Record<string, string>,
  recovery: Recovery | undefined,
  spec: PointSpec,
): Promise<void> {
  const set = await BackupSet.open(host, folder);
  expect(set.problems).toEqual([]);
  const point = planOf(spec).point;
  const there = set.points.some(({ id }) => id === point);
  if (!there) {
    expect(await snapshot(folder)).toEqual(before);
    return;
  }
  if (recovery !== undefined)
    expect(recovery).toMatchObject({ action: 'rolled-forward', checkpoint: { action: 'keep' } });
  expect(await readCheckpointList(host, folder, domain.name)).toEqual(set.checkpoints.map(({ name }) => name));
  expect(set.storedCheckpoints.map(({ name }) => name)).toEqual(set.checkpoints.map(({ name }) => name));
  await using opened = await set.openLayers('vda', point);
  expect(opened.kind).toBe('stream');
}

async function settle(folder: string): Promise<Recovery[]> {
  const recoveries = await recover(host, folder);
  for (const recovery of recoveries) await recovery.settle();
  expect(await recover(host, folder)).toEqual([]);
  return recoveries;
}

describe('a transaction', () => {
  test('it makes points that are there, whole, and follow each other', async () => {
    const folder = await tempFolder();
    await makePoint(host, folder, { number: 0, disks: ['vda', 'vdaa'] });
    await makePoint(host, folder, { number: 1, disks: ['vda', 'vdaa'] });
    await makePoint(host, folder, { number: 1, disks: ['vda', 'vdaa'], diff: '1795421522' });
    const set = await BackupSet.open(host, folder);
    expect(set.problems).toEqual([]);
    expect(set.points.map(({ id, parent, level }) => [id, parent, level])).toEqual([
      ['virtnbdbackup.0', null, 'full'],
      ['virtnbdbackup.1', 'virtnbdbackup.0', 'inc'],
      ['1795421522', 'virtnbdbackup.1', 'diff'],
    ]);
    expect(set.checkpoints).toEqual([
      { name: 'virtnbdbackup.0', creationTime: 1_700_000_000, run: expect.stringMatching(/^[0-9a-f]{32}$/) },
      { name: 'virtnbdbackup.1', creationTime: 1_700_000_001, run: expect.stringMatching(/^[0-9a-f]{32}$/) },
    ]);
    expect(set.checkpoints[0]).toMatchObject(
      set.point('virtnbdbackup.1').manifest?.parentCheckpoint ?? { name: 'none' },
    );
    expect(await readCheckpointList(host, folder, domain.name)).toEqual(['virtnbdbackup.0', 'virtnbdbackup.1']);
    expect((await readdir(folder)).filter((name) => /partial|intent|lock|tmp|\.checkpoint\.xml/.test(name))).toEqual(
      [],
    );
    expect(await readdir(join(folder, 'checkpoints'))).toEqual(['virtnbdbackup.0.xml', 'virtnbdbackup.1.xml']);
  });

  test.each(['begun', 'checkpoint', 'data vda', 'data vdb', 'small', 'sealed', 'committed', 'finished'])(
    'stopped at "%s" it is rolled back before the commit and forward after',
    async (stop) => {
      for (const number of [0, 1]) {
        const folder = await tempFolder();
        const disks = ['vda', 'vdb'];
        if (number === 1) await makePoint(host, folder, { number: 0, disks });
        const before = await snapshot(folder);
        const spec: PointSpec = {
          number,
          disks,
          at: (step) => {
            if (step === stop) throw new Stopped();
          },
        };
        await expect(makePoint(host, folder, spec)).rejects.toThrow(Stopped);
        const [recovery] = await settle(folder);
        const committed = stop === 'committed' || stop === 'finished';
        expect(recovery).toMatchObject({
          action: committed ? 'rolled-forward' : 'rolled-back',
          point: `virtnbdbackup.${number}`,
          domain,
          checkpoint: {
            action: committed ? 'keep' : 'delete',
            name: `virtnbdbackup.${number}`,
            creationTime: stop === 'begun' ? null : 1_700_000_000 + number,
          },
        });
        await expectConsistent(folder, before, recovery, spec);
        // And the same run can then be made.
        if (!committed) await makePoint(host, folder, { number, disks });
        expect((await BackupSet.open(host, folder)).problems).toEqual([]);
      }
    },
  );

  test.each<Failure>(['killed', 'before', 'after'])(
    'whichever call fails (%s), recovery leaves all or nothing',
    async (failure) => {
      const base = await tempFolder();
      await makePoint(host, base, { number: 0 });
      for (let at = 0; ; at++) {
        const folder = await copyOf(base);
        const before = await snapshot(folder);
        const failing = failingHost(at, failure);
        const failed = await makePoint(failing.host, folder, { number: 1 }).then(
          () => false,
          (error: unknown) => {
            expect(innermost(error)).toBeInstanceOf(InjectedError);
            return true;
          },
        );
        const [recovery] = await settle(folder);
        await expectConsistent(folder, before, recovery, { number: 1 });
        if (!failed && failing.calls() <= at) break;
      }
    },
  );

  test('whichever call fails during recovery, the next recovery ends it', async () => {
    for (const stop of ['data vda', 'sealed', 'committed']) {
      const base = await tempFolder();
      await makePoint(host, base, { number: 0 });
      const before = await snapshot(base);
      const at = (step: string): void => {
        if (step === stop) throw new Stopped();
      };
      await expect(makePoint(host, base, { number: 1, at })).rejects.toThrow(Stopped);
      for (let call = 0; ; call++) {
        const folder = await copyOf(base);
        const failing = failingHost(call, 'killed');
        const failed = await recover(failing.host, folder).then(
          () => false,
          () => true,
        );
        const [recovery] = await settle(folder);
        expect(recovery?.action).toBe(stop === 'committed' ? 'rolled-forward' : 'rolled-back');
        await expectConsistent(folder, before, recovery, { number: 1 });
        if (!failed) break;
      }
    }
  });

  test('rollBack undoes a run that fails, and keeps the intent until the checkpoint is dealt with', async () => {
    const folder = await tempFolder();
    const transaction = await SetTransaction.begin(host, folder, planOf({}));
    await expect(
      fillPoint(host, transaction, {
        at: (step) => {
          if (step === 'small') throw new Stopped();
        },
      }),
    ).rejects.toThrow(Stopped);
    const recovery = await transaction.rollBack();
    expect(recovery.checkpoint).toMatchObject({ action: 'delete', run: transaction.intent.run });
    expect(runDescription(transaction.intent.run)).toBe(`virtnbd run ${transaction.intent.run}`);
    expect(await readdir(folder)).toEqual(['virtnbdbackup.0.intent.json']);
    expect(await recover(host, folder)).toMatchObject([{ action: 'rolled-back', checkpoint: recovery.checkpoint }]);
    await recovery.settle();
    expect(await readdir(folder)).toEqual([]);
  });

  test('while a roll-back waits for the VM, a differential can be made beside it', async () => {
    const folder = await tempFolder();
    await makePoint(host, folder, { number: 0 });
    const transaction = await SetTransaction.begin(host, folder, planOf({ number: 1 }));
    await transaction.rollBack();
    await makePoint(host, folder, { number: 0, diff: '1795421522' });
    await expect(makePoint(host, folder, { number: 1 })).rejects.toMatchObject({ code: 'EXISTS' });
    const [waiting] = await recover(host, folder);
    await waiting?.settle();
    await makePoint(host, folder, { number: 1 });
    const set = await BackupSet.open(host, folder);
    expect(set.points.map(({ id }) => id)).toEqual(['virtnbdbackup.0', '1795421522', 'virtnbdbackup.1']);
  });

  test('a file that was there before is neither replaced nor rolled back', async () => {
    const folder = await tempFolder();
    await writeFile(join(folder, 'vda.full.data'), 'precious');
    await expect(makePoint(host, folder, {})).rejects.toMatchObject({ code: 'EXISTS' });
    await settle(folder);
    expect(await snapshot(folder)).toEqual({ 'vda.full.data': 'precious' });
  });

  test('a partial file of somebody else is not taken for ours', async () => {
    const folder = await tempFolder();
    await writeFile(join(folder, 'vda.full.data.partial'), 'precious');
    const plan = { ...planOf({}), files: ['vda.full.data'] };
    await expect(SetTransaction.begin(host, folder, plan)).rejects.toMatchObject({ code: 'EXISTS' });
    expect(await snapshot(folder)).toEqual({ 'vda.full.data.partial': 'precious' });
  });

  test('it does not begin on a parent that cannot be brought back', async () => {
    const folder = await tempFolder();
    await expect(makePoint(host, folder, { number: 1 })).rejects.toMatchObject({ code: 'UNKNOWN_POINT' });
    await makePoint(host, folder, { number: 0 });
    await host.files.remove(join(folder, 'vda.full.data'));
    await expect(makePoint(host, folder, { number: 1 })).rejects.toMatchObject({ code: 'MISSING_FILE' });
  });

  test('a point is not made twice', async () => {
    const folder = await tempFolder();
    await makePoint(host, folder, {});
    await expect(makePoint(host, folder, {})).rejects.toMatchObject({ code: 'EXISTS' });
    expect(await recover(host, folder)).toEqual([]);
  });

  test('what an intent says of a committed file does not remove it', async () => {
    const folder = await tempFolder();
    await makePoint(host, folder, {});
    const transaction = await SetTransaction.begin(host, folder, planOf({ number: 1 }));
    const path = join(folder, 'virtnbdbackup.1.intent.json');
    const hostile = { ...JSON.parse(await readFile(path, 'utf8')), files: ['vda.full.data'] };
    await writeFile(path, JSON.stringify(hostile));
    expect(transaction.intent.files).toEqual([]);
    await settle(folder);
    expect(await readdir(folder)).toContain('vda.full.data');
  });

  test.each(['../x', 'a/b', 'virtnbdbackup.0.manifest.json', 'virtnbd.lock', 'x.cpt', 'x.partial'])(
    'an intent that names %j is refused',
    async (name) => {
      const folder = await tempFolder();
      await SetTransaction.begin(host, folder, planOf({}));
      const path = join(folder, 'virtnbdbackup.0.intent.json');
      await writeFile(path, JSON.stringify({ ...JSON.parse(await readFile(path, 'utf8')), files: [name] }));
      await expect(recover(host, folder)).rejects.toMatchObject({ code: 'BAD_INTENT' });
    },
  );

  test('the intent of a living process is left alone', async () => {
    const folder = await tempFolder();
    await SetTransaction.begin(host, folder, planOf({}));
    const alive = { ...host, files: host.files, identity: async () => ({ ...(await host.identity()), pid: 1 }) };
    await expect(
      recover(
        {
          ...alive,
          isAlive: async () => true,
          run: host.run,
          start: host.start,
          waitForSocket: host.waitForSocket,
          route: host.route,
        },
        folder,
      ),
    ).rejects.toMatchObject({ code: 'BUSY' });
  });

  test('it remembers which older chain it has ended', async () => {
    const folder = await tempFolder();
    const transaction = await SetTransaction.begin(host, folder, planOf({}));
    await transaction.markSuperseded(['virtnbdbackup.1', 'virtnbdbackup.0']);
    await transaction.setJob({ socketPath: '/run/a.sock', scratchFiles: ['/var/tmp/s'] });
    const [recovery] = await recover(host, folder);
    expect(recovery).toMatchObject({
      superseded: ['virtnbdbackup.1', 'virtnbdbackup.0'],
      job: { socketPath: '/run/a.sock', scratchFiles: ['/var/tmp/s'] },
    });
  });

  test('steps at the wrong time are refused', async () => {
    const folder = await tempFolder();
    const transaction = await SetTransaction.begin(host, folder, planOf({}));
    await expect(transaction.commit({ created: new Date(), disks: [] })).rejects.toMatchObject({ code: 'STATE' });
    await expect(transaction.end()).rejects.toMatchObject({ code: 'STATE' });
    const file = await transaction.createData('vda.full.data');
    await file.close();
    await expect(transaction.seal()).rejects.toMatchObject({ code: 'STATE' });
  });

  test('temporary files of a killed run are cleared away', async () => {
    const folder = await tempFolder();
    await writeFile(join(folder, '.virtnbd-0123456789abcdef.tmp'), 'half');
    await recover(host, folder);
    expect(await readdir(folder)).toEqual([]);
  });

  test('a chain of the established tool is adopted, its raw images included', async () => {
    const folder = await tempFolder();
    await legacyFile(folder, 'vda.full.data', {});
    await writeFile(join(folder, 'vdb.copy.data'), new Uint8Array(4096));
    await makePoint(host, folder, { number: 1 });
    const set = await BackupSet.open(host, folder);
    expect(set.problems).toEqual([]);
    expect(set.chain('latest').map(({ id, manifest }) => [id, manifest === null])).toEqual([
      ['virtnbdbackup.0', true],
      ['virtnbdbackup.1', false],
    ]);
    expect(set.point('virtnbdbackup.0').disks.map(({ disk, kind }) => [disk, kind])).toEqual([
      ['vda', 'stream'],
      ['vdb', 'raw'],
    ]);
    await writeFile(join(folder, 'vdc.copy.data'), new Uint8Array(4096));
    const later = await BackupSet.open(host, folder);
    expect(later.problems).toMatchObject([{ code: 'NO_MANIFEST', files: ['vdc.copy.data'] }]);
  });
});

async function copyOf(base: string): Promise<string> {
  const folder = await tempFolder();
  for (const [name, content] of Object.entries(await snapshot(base))) {
    if (name.includes('/')) await host.files.makeFolder(join(folder, 'checkpoints'), { recursive: true });
    await writeFile(join(folder, name), content, 'latin1');
  }
  return folder;
}

/** Closing a file on the way out of a failure fails, too; the first failure is within. */
function innermost(error: unknown): unknown {
  return error instanceof SuppressedError ? innermost(error.suppressed) : error;
}
