import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { ByteSink, HostFile } from '@virtnbd/host';
import { requires } from '@virtnbd/test-kit';
import { describe, expect, test } from 'vitest';
import { BackupSet, openBackupSource, readIntents, recover, SetTransaction } from '../src/index.ts';
import { ZipWriter } from '../src/zip/zip-writer.ts';
import { fillPoint, host, makePoint, planOf, tempFolder } from './support.ts';

const execute = promisify(execFile);
const GIB = 1024 ** 3;
const BLOCK = 1 << 20;

/** A sink that writes a file, leaving holes where there are zeroes. */
class FileSink implements ByteSink {
  readonly #file: HostFile;
  readonly #zeroes = Buffer.alloc(BLOCK);
  #end = 0;
  /** The most bytes that were under way at once. */
  most = 0;

  constructor(file: HostFile) {
    this.#file = file;
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.most = Math.max(this.most, bytes.length);
    const at = this.#end;
    this.#end += bytes.length;
    if (!this.#zeroes.subarray(0, bytes.length).equals(bytes)) await this.#file.writeAt(at, bytes);
  }

  async finish(): Promise<void> {
    await this.#file.truncate(this.#end);
    await this.#file.close();
  }

  abandon(): void {
    void this.#file.close();
  }
}

async function sinkTo(path: string): Promise<FileSink> {
  return new FileSink(await host.files.open(path, 'create'));
}

/** A whole run into a zip. */
async function zipPoint(folder: string, zip: string, number: number, signal?: AbortSignal): Promise<void> {
  const pipe = await sinkTo(zip);
  const plan = planOf({ number });
  await fillPoint(host, await SetTransaction.begin(host, folder, plan, { pipe, ...(signal && { signal }) }), {
    number,
  });
}

describe('a restore point in a zip', () => {
  test.skipIf(requires('unzip', 'python3').skip)(
    'an entry of more than 4 GiB, and entries behind it, are read by unzip, by Python and in place',
    { timeout: 300_000 },
    async () => {
      const path = join(await tempFolder(), 'large.zip');
      const zip = new ZipWriter(await sinkTo(path));
      const entry = zip.begin('vda.full.data');
      const zeroes = new Uint8Array(BLOCK);
      await entry.write(Buffer.from('first'));
      for (let done = 0; done < 4 * GIB; done += BLOCK) await entry.write(zeroes);
      await entry.write(Buffer.from('last'));
      await entry.close();
      await zip.add('vdb.full.data', Buffer.from('behind'));
      await zip.finish();
      await execute('unzip', ['-tq', path]);
      await execute('python3', [
        '-c',
        'import sys,zipfile; assert zipfile.ZipFile(sys.argv[1]).testzip() is None',
        path,
      ]);
      await using source = await openBackupSource(host, path, '/');
      const read = async (name: string, offset: number, length: number): Promise<string> => {
        await using file = await source.host.files.open(join(source.folder, name), 'read');
        const buffer = Buffer.alloc(length);
        await file.read(offset, buffer);
        return buffer.toString('latin1');
      };
      expect(await read('vda.full.data', 4 * GIB + 5, 4)).toBe('last');
      expect(await read('vdb.full.data', 0, 6)).toBe('behind');
    },
  );

  test('the folder keeps the checkpoint only, and the next increment goes on from it', async () => {
    const [folder, zips] = [await tempFolder(), await tempFolder()];
    await zipPoint(folder, join(zips, 'full.zip'), 0);
    await zipPoint(folder, join(zips, 'inc.zip'), 1);
    const names = (await host.files.list(folder)).map(({ name }) => name);
    expect(names).toEqual(['checkpoints', 'test vm.cpt']);
    await using source = await openBackupSource(host, 'full.zip,inc.zip', zips);
    const set = await BackupSet.open(source.host, source.folder);
    expect(set.problems).toEqual([]);
    expect(set.chain('latest').map(({ id }) => id)).toEqual(['virtnbdbackup.0', 'virtnbdbackup.1']);
    await using disk = await set.openLayers('vda', 'latest');
    expect(disk.kind === 'stream' && disk.layers.map(({ checked }) => checked)).toEqual(['chunks', 'chunks']);
  });

  test('a sink that fails, early or late, fails the commit, and the run is rolled back', async () => {
    for (let failing = 0; ; failing += 23) {
      const folder = await tempFolder();
      let writes = 0;
      const pipe: ByteSink = {
        write: async () => {
          if (writes++ === failing) throw new Error('the reader has gone');
        },
        finish: async () => undefined,
        abandon: () => undefined,
      };
      const transaction = await SetTransaction.begin(host, folder, planOf({}), { pipe });
      const failure = await fillPoint(host, transaction, {}).then(
        () => null,
        (error: unknown) => error,
      );
      if (failure === null) break;
      expect(failure).toEqual(new Error('the reader has gone'));
      const recovery = await transaction.rollBack();
      expect(recovery).toMatchObject({ action: 'rolled-back', checkpoint: { action: 'delete' } });
      await recovery.settle();
      expect(await host.files.list(folder)).toEqual([]);
    }
  });

  test('a sink that takes nothing more holds the run up until its signal', async () => {
    const folder = await tempFolder();
    const stop = new AbortController();
    const pipe: ByteSink = {
      write: () => new Promise(() => undefined),
      finish: async () => undefined,
      abandon: () => undefined,
    };
    const transaction = await SetTransaction.begin(host, folder, planOf({}), { pipe, signal: stop.signal });
    const file = await transaction.createData('vda.full.data');
    const writing = Promise.all(Array.from({ length: 8 }, () => file.write([new Uint8Array(BLOCK)])));
    queueMicrotask(() => stop.abort(new Error('stopped')));
    await expect(writing).rejects.toThrow('stopped');
    await (await transaction.rollBack()).settle();
    expect(await host.files.list(folder)).toEqual([]);
  });

  test.for(['delivered', 'committed', 'finished'])('killed after "%s" it is rolled forward', async (step) => {
    const folder = await tempFolder();
    const pipe = await sinkTo(join(await tempFolder(), 'a.zip'));
    const transaction = await SetTransaction.begin(host, folder, planOf({}), { pipe });
    const stopped = new Error('killed');
    const at = (name: string): void => {
      if (name === (step === 'delivered' ? 'committed' : step)) throw stopped;
    };
    await expect(fillPoint(host, transaction, { at })).rejects.toBe(stopped);
    const [recovery] = await recover(host, folder);
    expect(recovery).toMatchObject({ action: 'rolled-forward', checkpoint: { action: 'keep' } });
    await recovery?.settle();
    expect(await readIntents(host, folder)).toEqual([]);
    await zipPoint(folder, join(await tempFolder(), 'next.zip'), 1);
  });

  test('it does not mix with a backup in the same folder', async () => {
    const folder = await tempFolder();
    await makePoint(host, folder, {});
    const begun = zipPoint(folder, join(await tempFolder(), 'a.zip'), 1);
    await expect(begun).rejects.toMatchObject({ code: 'EXISTS' });
  });
});

describe('zips as a backup folder', () => {
  test('what lies in them is not written, and all else is the host’s own', async () => {
    const [folder, zips] = [await tempFolder(), await tempFolder()];
    const path = join(zips, 'full.zip');
    await zipPoint(folder, path, 0);
    await using source = await openBackupSource(host, path, '/');
    const { files } = source.host;
    const inside = join(source.folder, 'vda.full.data');
    await expect(files.open(inside, 'read-write')).rejects.toMatchObject({ code: 'READ_ONLY' });
    await expect(files.remove(inside)).rejects.toMatchObject({ code: 'READ_ONLY' });
    await expect(files.writeAtomic(join(source.folder, 'new'), '')).rejects.toMatchObject({ code: 'READ_ONLY' });
    await expect(files.open(join(source.folder, 'absent'), 'read')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await files.writeAtomic(join(zips, 'beside'), 'x');
    expect((await files.list(join(source.folder, 'checkpoints'))).map(({ name }) => name)).toEqual([
      'virtnbdbackup.0.xml',
    ]);
    await using file = await files.open(inside, 'read');
    await expect(file.read((await file.size()) - 1, new Uint8Array(2))).rejects.toMatchObject({ code: 'SHORT_READ' });
  });

  test('a file that is no zip, one that is cut off, and a compressed one are refused by name', async () => {
    const [folder, zips] = [await tempFolder(), await tempFolder()];
    const path = join(zips, 'full.zip');
    await zipPoint(folder, path, 0);
    const bytes = await host.files.readSmall(path, 64 * BLOCK);
    for (const length of [0, 10, bytes.length - 1]) {
      const cut = join(zips, `${length}.zip`);
      await writeFile(cut, bytes.subarray(0, length));
      await expect(openBackupSource(host, cut, '/')).rejects.toMatchObject({ code: 'DAMAGED', file: cut });
    }
    const compressed = join(zips, 'compressed.zip');
    await writeFile(join(zips, 'text'), 'a'.repeat(1000));
    const script = 'import sys,zipfile; zipfile.ZipFile(sys.argv[1],"w",8).write(sys.argv[2],"vda.full.data")';
    await execute('python3', ['-c', script, compressed, join(zips, 'text')]);
    await expect(openBackupSource(host, compressed, '/')).rejects.toThrow('unpack the zip');
  });
});
