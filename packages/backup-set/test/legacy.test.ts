import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { BackupSet, type SetProblem } from '../src/index.ts';
import { host, legacyFile, makePoint, type StreamSpec, tempFolder } from './support.ts';

const full: [string, StreamSpec] = ['vda.full.data', {}];

/** The n-th increment, of a chain that begins with 0. */
function inc(number: number, spec: StreamSpec = {}): [string, StreamSpec] {
  const disk = spec.disk ?? 'vda';
  const checkpoint = `virtnbdbackup.${number}`;
  const parent = `virtnbdbackup.${number - 1}`;
  return [`${disk}.inc.${checkpoint}.data`, { disk, checkpoint, parent, incremental: true, ...spec }];
}

async function folderOf(...files: [string, StreamSpec][]): Promise<string> {
  const folder = await tempFolder();
  for (const [name, spec] of files) await legacyFile(folder, name, spec);
  return folder;
}

const open = (folder: string): Promise<BackupSet> => BackupSet.open(host, folder);
const ids = (set: BackupSet): string[] => set.points.map(({ id }) => id);
const errors = (set: BackupSet): Pick<SetProblem, 'code' | 'files'>[] =>
  set.problems.filter(({ severity }) => severity === 'error').map(({ code, files }) => ({ code, files }));

function refusal(work: () => unknown): unknown {
  try {
    return work();
  } catch (error) {
    return error;
  }
}

describe('folders without manifests', () => {
  test('a gap is named, and the points before it stay usable', async () => {
    const set = await open(await folderOf(full, inc(1), inc(3)));
    expect(errors(set)).toEqual([{ code: 'GAP', files: ['vda.inc.virtnbdbackup.3.data'] }]);
    expect(refusal(() => set.chain('latest'))).toMatchObject({ code: 'GAP', files: ['vda.inc.virtnbdbackup.3.data'] });
    expect(set.chain('virtnbdbackup.1')).toHaveLength(2);
  });

  test('a missing full is a gap', async () => {
    const set = await open(await folderOf(inc(1), inc(2)));
    expect(refusal(() => set.chain('virtnbdbackup.2'))).toMatchObject({ code: 'GAP' });
  });

  test('an unknown point is an error that lists the known ones', async () => {
    const set = await open(await folderOf(full, inc(1)));
    expect(refusal(() => set.chain('virtnbdbackup.9'))).toMatchObject({
      code: 'UNKNOWN_POINT',
      message: expect.stringMatching(/: virtnbdbackup\.0 \(.+\), virtnbdbackup\.1 \(/),
    });
    expect(refusal(() => set.chain('virtnbdbackup.1', { disk: 'vdz' }))).toMatchObject({ code: 'UNKNOWN_DISK' });
  });

  test('disks whose names begin alike are not mixed up', async () => {
    const sdaa = inc(1, { disk: 'sdaa' });
    const set = await open(
      await folderOf(
        ['sda.full.data', { disk: 'sda' }],
        ['sdaa.full.data', { disk: 'sdaa' }],
        inc(1, { disk: 'sda' }),
        sdaa,
      ),
    );
    expect(set.problems).toEqual([]);
    await using opened = await set.openLayers('sda', 'latest');
    expect(opened.kind === 'stream' && opened.layers.map(({ name }) => name)).toEqual([
      'sda.full.data',
      'sda.inc.virtnbdbackup.1.data',
    ]);
  });

  test('a file under another disk’s name is foreign', async () => {
    const set = await open(await folderOf(full, ['vda.inc.virtnbdbackup.1.data', inc(1, { disk: 'vdb' })[1]]));
    expect(errors(set)).toEqual([{ code: 'FOREIGN', files: ['vda.inc.virtnbdbackup.1.data'] }]);
    expect(refusal(() => set.chain('virtnbdbackup.1'))).toMatchObject({ code: 'FOREIGN' });
  });

  test('a renamed increment is foreign', async () => {
    const set = await open(await folderOf(full, ['vda.inc.virtnbdbackup.2.data', inc(1)[1]]));
    expect(errors(set)).toEqual([{ code: 'FOREIGN', files: ['vda.inc.virtnbdbackup.2.data'] }]);
    expect(refusal(() => set.chain('latest'))).toMatchObject({ code: 'FOREIGN' });
  });

  test('an increment under the name of a full is foreign', async () => {
    const set = await open(await folderOf(['vda.full.data', inc(1)[1]]));
    expect(refusal(() => set.chain('latest'))).toMatchObject({ code: 'FOREIGN' });
  });

  test('a checkpoint name that is not ours makes no point', async () => {
    const spec = { ...inc(1)[1], checkpoint: 'other.1' };
    const set = await open(await folderOf(full, ['vda.inc.other.1.data', spec]));
    expect(ids(set)).toEqual(['virtnbdbackup.0']);
    expect(errors(set)).toEqual([{ code: 'FOREIGN', files: ['vda.inc.other.1.data'] }]);
  });

  test('two increments upon one point are refused, both', async () => {
    const set = await open(await folderOf(full, inc(1), inc(2, { parent: 'virtnbdbackup.0' })));
    for (const id of ['virtnbdbackup.1', 'virtnbdbackup.2']) {
      expect(refusal(() => set.chain(id))).toMatchObject({
        code: 'DUPLICATE',
        files: expect.arrayContaining(['vda.inc.virtnbdbackup.1.data', 'vda.inc.virtnbdbackup.2.data']),
      });
    }
  });

  test('disks of one point that follow different points are refused', async () => {
    const strange = inc(2, { disk: 'vdb', parent: 'virtnbdbackup.0' });
    const set = await open(await folderOf(full, ['vdb.full.data', { disk: 'vdb' }], inc(1), inc(2), strange));
    expect(refusal(() => set.chain('virtnbdbackup.2'))).toMatchObject({ code: 'FOREIGN' });
  });

  test('links in a circle are refused', async () => {
    const set = await open(await folderOf(inc(1, { parent: 'virtnbdbackup.2' }), inc(2)));
    expect(refusal(() => set.chain('virtnbdbackup.2'))).toMatchObject({ code: 'CYCLE' });
  });

  test('a whole backup in mid-chain cuts the chain short, and a gap before it does not matter', async () => {
    const set = await open(await folderOf(inc(3, { incremental: false, parent: '' }), inc(4)));
    expect(set.chain('latest').map(({ id }) => id)).toEqual(['virtnbdbackup.3', 'virtnbdbackup.4']);
  });

  test('of one disk’s chain only that disk’s bases count', async () => {
    const b = (number: number, spec: StreamSpec = {}): [string, StreamSpec] => inc(number, { disk: 'vdb', ...spec });
    const set = await open(
      await folderOf(
        full,
        ['vdb.full.data', { disk: 'vdb' }],
        inc(1),
        b(1, { incremental: false, parent: '' }),
        inc(2),
        b(2),
      ),
    );
    expect(set.problems).toEqual([]);
    expect(set.chain('latest', { disk: 'vdb' }).map(({ id }) => id)).toEqual(['virtnbdbackup.1', 'virtnbdbackup.2']);
    expect(set.chain('latest')).toHaveLength(3);
    await using opened = await set.openLayers('vdb', 'latest');
    expect(opened.kind === 'stream' && opened.layers.map(({ name }) => name)).toEqual([
      'vdb.inc.virtnbdbackup.1.data',
      'vdb.inc.virtnbdbackup.2.data',
    ]);
  });

  test('a disk that an increment in between did not save is refused, other disks are not', async () => {
    const set = await open(
      await folderOf(full, ['vdb.full.data', { disk: 'vdb' }], inc(1), inc(2), inc(2, { disk: 'vdb' })),
    );
    expect(refusal(() => set.chain('virtnbdbackup.2', { disk: 'vdb' }))).toMatchObject({ code: 'GAP', disk: 'vdb' });
    expect(refusal(() => set.chain('virtnbdbackup.2'))).toMatchObject({ code: 'GAP', disk: 'vdb' });
    expect(set.chain('virtnbdbackup.2', { disk: 'vda' })).toHaveLength(3);
    expect(set.chain('virtnbdbackup.1')).toHaveLength(2);
  });

  test('a disk that was added later begins with its own base', async () => {
    const set = await open(await folderOf(full, inc(1), inc(1, { disk: 'vdb', incremental: false, parent: '' })));
    expect(set.problems).toEqual([]);
    expect(set.point('virtnbdbackup.1').disks.map(({ disk, incremental }) => [disk, incremental])).toEqual([
      ['vda', true],
      ['vdb', false],
    ]);
  });

  test('an offline increment upon a full is a leaf, beside the next increment', async () => {
    const offline = { checkpoint: 'virtnbdbackup.0', parent: 'virtnbdbackup.0', incremental: true };
    const set = await open(await folderOf(full, ['vda.inc.virtnbdbackup.0.data', offline], inc(1)));
    expect(set.problems).toEqual([]);
    expect(ids(set)).toEqual(['virtnbdbackup.0', 'virtnbdbackup.0+offline', 'virtnbdbackup.1']);
    expect(set.chain('virtnbdbackup.0+offline').map(({ id }) => id)).toEqual([
      'virtnbdbackup.0',
      'virtnbdbackup.0+offline',
    ]);
    expect(set.chain('latest').map(({ id }) => id)).toEqual(['virtnbdbackup.0', 'virtnbdbackup.1']);
    expect(set.checkpoints.map(({ name }) => name)).toEqual(['virtnbdbackup.0', 'virtnbdbackup.1']);
  });

  test('an offline increment that has overwritten an increment is a loss that is told', async () => {
    const set = await open(await folderOf(full, inc(1, { parent: 'virtnbdbackup.1' }), inc(2)));
    expect(errors(set)).toEqual([{ code: 'GAP', files: ['vda.inc.virtnbdbackup.1.data'] }]);
    expect(refusal(() => set.chain('virtnbdbackup.2'))).toMatchObject({ code: 'GAP' });
    expect(set.chain('virtnbdbackup.0')).toHaveLength(1);
  });

  test('differentials are leaves upon their parent, whatever their headers say of a checkpoint', async () => {
    const diff: StreamSpec = { checkpoint: 'virtnbdbackup.1', parent: 'virtnbdbackup.0', incremental: true };
    const whole: StreamSpec = { checkpoint: 'virtnbdbackup.1', parent: '', incremental: false };
    const set = await open(
      await folderOf(full, ['vda.diff.1795421522.data', diff], inc(1), ['vda.diff.1795421600.data', whole]),
    );
    expect(set.problems).toEqual([]);
    expect(ids(set)).toEqual(['virtnbdbackup.0', '1795421522', 'virtnbdbackup.1', '1795421600']);
    expect(set.chain('1795421600')).toHaveLength(1);
    expect(set.chain('1795421522').map(({ id }) => id)).toEqual(['virtnbdbackup.0', '1795421522']);
  });

  test('a damaged header does not make latest mean an older point', async () => {
    const folder = await folderOf(full, inc(1));
    await writeFile(join(folder, 'vda.inc.virtnbdbackup.2.data'), 'meta 0000000000000000 00000000000000ff\r\n{');
    const set = await open(folder);
    expect(refusal(() => set.chain('latest'))).toMatchObject({
      code: 'DAMAGED',
      files: ['vda.inc.virtnbdbackup.2.data'],
    });
  });

  test('a stream file whose beginning is damaged is not taken for a raw image', async () => {
    const folder = await tempFolder();
    await legacyFile(folder, 'vda.full.data', {});
    const path = join(folder, 'vda.full.data');
    await using file = await host.files.open(path, 'read-write');
    await file.writeAt(0, Buffer.from('n'));
    await file.truncate(Math.ceil((await file.size()) / 512) * 512);
    expect(refusal((await open(folder)).chain.bind(await open(folder), 'latest'))).toMatchObject({ code: 'DAMAGED' });
    await host.files.remove(`${path}.chksum`);
    await writeFile(join(folder, 'vda.virtnbdbackup.0.qcow.json'), '{"virtual-size": 1048576}');
    expect(errors(await open(folder))).toEqual([{ code: 'DAMAGED', files: ['vda.full.data'] }]);
  });

  test('a raw image of a full with a copy beside it is not guessed at', async () => {
    const folder = await folderOf(full, ['vdb.copy.data', { disk: 'vdb' }]);
    await writeFile(join(folder, 'vdc.copy.data'), new Uint8Array(4096));
    const set = await open(folder);
    expect(ids(set)).toEqual(['copy', 'virtnbdbackup.0']);
    expect(errors(set)).toEqual([{ code: 'AMBIGUOUS', files: ['vdc.copy.data'] }]);
  });

  test('a file with our writer counts only through a manifest', async () => {
    const folder = await folderOf(full, inc(1, { ours: true }));
    const set = await open(folder);
    expect(ids(set)).toEqual(['virtnbdbackup.0']);
    expect(errors(set)).toEqual([{ code: 'NO_MANIFEST', files: ['vda.inc.virtnbdbackup.1.data'] }]);
  });

  test('a file of the established tool may follow our points, and may not pose as a part of one', async () => {
    const folder = await tempFolder();
    await makePoint(host, folder, { number: 0 });
    await legacyFile(folder, ...inc(1));
    expect((await open(folder)).chain('latest')).toHaveLength(2);
    await legacyFile(folder, 'vdb.full.data', { disk: 'vdb' });
    const set = await open(folder);
    expect(errors(set)).toEqual([{ code: 'FOREIGN', files: ['vdb.full.data'] }]);
    expect(set.point('virtnbdbackup.0').disks.map(({ disk }) => disk)).toEqual(['vda']);
  });

  test('odd entries in the folder change nothing', async () => {
    const folder = await folderOf(full);
    for (const name of ['notes.txt', 'a\nb', '.hidden', 'vda.full.data.bak', 'ünïcode [x]']) {
      await writeFile(join(folder, name), 'x');
    }
    await host.files.makeFolder(join(folder, 'vdb.full.data'));
    const set = await open(folder);
    expect(ids(set)).toEqual(['virtnbdbackup.0']);
    expect(set.problems).toEqual([]);
  });

  test('checksum files without their data are told', async () => {
    const folder = await folderOf(full);
    await writeFile(join(folder, 'vdb.full.data.chksum'), '1');
    await writeFile(join(folder, 'vdb.full.chunks'), '1');
    const set = await open(folder);
    expect(set.problems.map(({ code }) => code)).toEqual(['ORPHAN', 'ORPHAN']);
  });
});
