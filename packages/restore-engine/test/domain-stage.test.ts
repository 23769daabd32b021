import { chmod, cp, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fixtures, host, MIB, makePoint, wholeDisk } from '@virtnbd/sample-sets';
import { tempFolder } from '@virtnbd/test-kit';
import { describe, expect, test } from 'vitest';
import { type DomainRequest, type RestoreResult, runRestore } from '../src/index.ts';

const POINT = 'virtnbdbackup.0';

/** A folder with a backup of a UEFI machine that boots a kernel; the host has none of these files unless a test makes them. */
class Sample implements AsyncDisposable {
  readonly folder: string;
  readonly target: string;
  /** Stands for the host's own places. */
  readonly places: string;
  readonly #temp: Awaited<ReturnType<typeof tempFolder>>;

  private constructor(temp: Awaited<ReturnType<typeof tempFolder>>) {
    this.#temp = temp;
    this.folder = join(temp.path, 'backup');
    this.target = join(temp.path, 'restored');
    this.places = join(temp.path, 'places');
  }

  static async make(
    options: { os?: string; imageName?: string; autostart?: boolean; beside?: boolean } = {},
  ): Promise<Sample> {
    const sample = new Sample(await tempFolder());
    const { places } = sample;
    await mkdir(sample.folder, { recursive: true });
    const os =
      options.os ??
      `<loader>${places}/code.fd</loader><nvram template='/t.fd'>${places}/vm_VARS.fd</nvram><kernel>${places}/k</kernel>`;
    const xml = `<domain type='kvm'><name>vm</name><uuid>4cddffbf-aab2-40d6-87f2-d9b20e6f0c07</uuid><os>${os}</os>
  <devices><disk type='file'><driver name='qemu' type='qcow2'/><source file='/images/vda.qcow2'/><target dev='vda'/></disk></devices></domain>`;
    const boot = ['code.fd', 'vm_VARS.fd', 'k'].map((name) => ({
      name: `${name}.${POINT}`,
      role: 'boot' as const,
      content: `saved ${name}`,
    }));
    await makePoint(sample.folder, {
      number: 0,
      domainXml: xml,
      beside: options.beside === false ? [] : boot,
      disks: [
        {
          virtualSize: MIB,
          frames: wholeDisk(MIB, 65536, 0xaa),
          ...(options.imageName && { imageName: options.imageName }),
        },
      ],
    });
    return sample;
  }

  async restore(
    domain: DomainRequest,
    more: { dryRun?: boolean; salvage?: boolean } = {},
  ): Promise<RestoreResult & { notes: string[] }> {
    const notes: string[] = [];
    const onEvent = (event: { type: string; message?: string }): void => {
      if (event.type === 'note') notes.push(event.message ?? '');
    };
    const request = { folder: this.folder, target: this.target, point: 'latest', domain, ...more };
    return { ...(await runRestore(request, { host, onEvent })), notes };
  }

  text(name: string): Promise<string> {
    return readFile(join(this.target, name), 'utf8');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#temp[Symbol.asyncDispose]();
  }
}

describe('an adjusted configuration', () => {
  test('stands beside its images with the files to start from, which it names', async () => {
    await using sample = await Sample.make();
    const { domain } = await sample.restore({ adjust: true });
    const { target } = sample;
    expect((await readdir(target)).sort()).toEqual(['code.fd', 'k', 'vda.qcow2', 'vm_VARS.fd', 'vmconfig.xml']);
    const xml = await sample.text('vmconfig.xml');
    for (const path of ['code.fd', 'vm_VARS.fd', 'k', 'vda.qcow2']) expect(xml).toContain(join(target, path));
    expect(xml).not.toContain(sample.places);
    expect(await sample.text('vm_VARS.fd')).toBe('saved vm_VARS.fd');
    expect(domain).toMatchObject({ configFile: join(target, 'vmconfig.xml'), defined: null });
    expect(domain?.changes).toContain(`nvram: ${target}/vm_VARS.fd, was ${sample.places}/vm_VARS.fd`);
  });

  test('can be read by the hypervisor through its folder, and its firmware by all', async () => {
    await using sample = await Sample.make();
    await sample.restore({ adjust: true });
    const mode = async (name: string): Promise<number> => (await stat(join(sample.target, name))).mode & 0o777;
    expect([await mode('.'), await mode('code.fd'), await mode('vm_VARS.fd')]).toEqual([0o711, 0o644, 0o600]);
  });

  test('uses the firmware and kernel of the host, where it has them, but its own variables', async () => {
    await using sample = await Sample.make();
    await mkdir(sample.places);
    for (const name of ['code.fd', 'vm_VARS.fd', 'k']) await writeFile(join(sample.places, name), 'of the host');
    await sample.restore({ adjust: true });
    expect((await readdir(sample.target)).sort()).toEqual(['vda.qcow2', 'vm_VARS.fd', 'vmconfig.xml']);
    expect(await sample.text('vmconfig.xml')).toContain(`<loader>${sample.places}/code.fd</loader>`);
  });

  test('never shares the variables of the original VM', async () => {
    await using sample = await Sample.make({ beside: false });
    const { notes } = await sample.restore({ adjust: true });
    expect(await sample.text('vmconfig.xml')).toContain(`<nvram template='/t.fd'></nvram>`);
    expect(notes.join('\n')).toContain('they begin anew');
    expect(notes.join('\n')).toContain(`kernel: ${sample.places}/k is neither on this host nor in the backup`);
  });

  test('has the name that was asked for, and so does its file', async () => {
    await using sample = await Sample.make();
    const { domain } = await sample.restore({ adjust: true, name: 'again', configFile: 'again.xml' });
    expect(domain?.configFile).toBe(join(sample.target, 'again.xml'));
    expect(await sample.text('again.xml')).toContain('<name>again</name>');
  });

  test('is told by a dry run, which writes nothing', async () => {
    await using sample = await Sample.make();
    const { domain } = await sample.restore({ adjust: true }, { dryRun: true });
    expect(domain?.changes).toContain('name: restore_vm, was vm');
    expect(domain?.bootFiles.map(({ kind }) => kind)).toEqual(['loader', 'nvram', 'kernel']);
    await expect(readdir(sample.target)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test('gives a file another name when an image has that', async () => {
    await using sample = await Sample.make({ imageName: 'vm_VARS.fd' });
    await sample.restore({ adjust: true });
    expect(await sample.text('nvram.vm_VARS.fd')).toBe('saved vm_VARS.fd');
  });

  test('is refused where an image has its name', async () => {
    await using sample = await Sample.make({ imageName: 'vmconfig.xml' });
    await expect(sample.restore({ adjust: true })).rejects.toMatchObject({ code: 'NAME_CLASH' });
    await expect(readdir(sample.target)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test.each(['a/b', '..', ''])('is not written under the name %j', async (configFile) => {
    await using sample = await Sample.make();
    await expect(sample.restore({ adjust: true, configFile })).rejects.toMatchObject({ code: 'BAD_NAME' });
  });
});

describe('without adjustment', () => {
  test('the configuration is copied as it was saved, and nothing else of it restored', async () => {
    await using sample = await Sample.make();
    await sample.restore({});
    expect((await readdir(sample.target)).sort()).toEqual(['vda.qcow2', `vmconfig.${POINT}.xml`]);
    expect(await sample.text(`vmconfig.${POINT}.xml`)).toBe(
      await readFile(join(sample.folder, `vmconfig.${POINT}.xml`), 'utf8'),
    );
  });

  test('files go to their original places on demand, and only where they are missing', async () => {
    await using sample = await Sample.make();
    await mkdir(sample.places);
    await writeFile(join(sample.places, 'k'), 'of the host');
    const { domain } = await sample.restore({ restoreBootFiles: true });
    expect(await readFile(join(sample.places, 'k'), 'utf8')).toBe('of the host');
    expect(await readFile(join(sample.places, 'vm_VARS.fd'), 'utf8')).toBe('saved vm_VARS.fd');
    expect(domain?.bootFiles.map(({ kind }) => kind)).toEqual(['loader', 'nvram']);
  });

  test('files that were put elsewhere are taken away when the restore fails', async () => {
    await using sample = await Sample.make();
    const data = await readFile(join(sample.folder, 'vda.full.data'));
    data[data.length >> 1] = (data[data.length >> 1] ?? 0) ^ 1;
    await chmod(join(sample.folder, 'vda.full.data'), 0o600);
    await writeFile(join(sample.folder, 'vda.full.data'), data);
    await expect(sample.restore({ restoreBootFiles: true })).rejects.toThrow();
    expect(await readdir(sample.places).catch(() => [])).toEqual([]);
  });
});

describe('a folder that is not to be trusted', () => {
  test('whose boot file was changed makes the restore fail, and leaves nothing', async () => {
    await using sample = await Sample.make();
    await rm(join(sample.folder, `k.${POINT}`));
    await writeFile(join(sample.folder, `k.${POINT}`), 'evil k');
    await expect(sample.restore({ adjust: true })).rejects.toMatchObject({
      code: 'DAMAGED',
      message: expect.stringContaining('k.'),
    });
    expect(await readdir(sample.target)).toEqual([]);
  });

  test('whose boot files are damaged or gone is restored without them by a salvage, which tells', async () => {
    await using sample = await Sample.make();
    await rm(join(sample.folder, `k.${POINT}`));
    await rm(join(sample.folder, `code.fd.${POINT}`));
    await writeFile(join(sample.folder, `code.fd.${POINT}`), 'evil');
    const { leftOut } = await sample.restore({ adjust: true }, { salvage: true });
    expect(leftOut).toEqual([expect.stringContaining('code.fd'), expect.stringContaining('k.')]);
    expect((await readdir(sample.target)).sort()).toEqual(['vda.qcow2', 'vm_VARS.fd', 'vmconfig.xml']);
  });

  test('whose boot file is gone makes the restore fail before anything is made', async () => {
    await using sample = await Sample.make();
    await rm(join(sample.folder, `k.${POINT}`));
    await expect(sample.restore({ adjust: true })).rejects.toMatchObject({ code: 'DAMAGED' });
    await expect(readdir(sample.target)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test('cannot bring in a file of this host by a link', async () => {
    await using temp = await tempFolder();
    const folder = join(temp.path, 'backup');
    const target = join(temp.path, 'restored');
    await cp(join(fixtures, 'offline-copy'), folder, { recursive: true });
    const config = join(folder, 'vmconfig.copy.xml');
    const xml = await readFile(config, 'utf8');
    await writeFile(config, xml.replace('</os>', '<kernel>/none/k</kernel><initrd>/none/i</initrd></os>'));
    await writeFile(join(temp.path, 'secret'), 'secret');
    await symlink(join(temp.path, 'secret'), join(folder, 'k'));
    await writeFile(join(folder, 'i'), 'initrd');
    await runRestore({ folder, target, point: 'latest', domain: { adjust: true } }, { host });
    expect((await readdir(target)).sort()).toEqual(['disk.qcow2', 'i', 'vmconfig.xml']);
  });

  test.each([
    ['a relative path', '../../k'],
    ['a path that goes up', '/tmp/../etc/k'],
    ['the name of a folder', '/boot/..'],
    ['a name with a control character', '/boot/a&#10;k'],
    ['the name of another file of the backup', `/boot/vda.full.data`],
  ])('that names its kernel by %s puts nothing anywhere', async (_, path) => {
    await using sample = await Sample.make({ os: `<kernel>${path}</kernel>`, beside: false });
    await sample.restore({ adjust: true, restoreBootFiles: true });
    expect((await readdir(sample.target)).sort()).toEqual(['vda.qcow2', 'vmconfig.xml']);
  });

  test('whose configuration has entities is refused before anything is made', async () => {
    await using sample = await Sample.make({ os: '&xxe;' });
    await expect(sample.restore({ adjust: true })).rejects.toMatchObject({ code: 'BAD_XML' });
    await expect(readdir(sample.target)).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
