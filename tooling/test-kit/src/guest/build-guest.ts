import { readdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { TestKitError } from '../errors.ts';
import { run } from '../programs.ts';
import { type CpioEntry, packCpio } from './cpio.ts';
import { DebianPackages } from './debian-packages.ts';
import { collectModules } from './kernel-modules.ts';

/** Drivers of the disks that VMs here have, the agent's channel, LVM (for libguestfs), ext4. */
export const MODULES = [
  'virtio_pci',
  'virtio_blk',
  'virtio_scsi',
  'sd_mod',
  'ahci',
  'virtio_console',
  'dm_mod',
  'crc32c_generic',
  'ext4',
];

/**
 * Makes `vmlinuz` and `initrd` in `output` from Debian's cloud kernel, busybox and the guest agent. `work` may be thrown away
 * afterwards. Returns the versions, for the name of the cache entry.
 */
export async function buildGuest(
  work: string,
  output: string,
  scripts: { init: Uint8Array; shutdown: Uint8Array },
): Promise<string> {
  if (process.arch !== 'x64') {
    throw new TestKitError('GUEST', `The test guest is made for x86-64 hosts only; this one is ${process.arch}`);
  }
  DebianPackages.check();
  const packages = new DebianPackages();
  const tree = join(work, 'tree');
  const kernelName = await packages.dependency('linux-image-cloud-amd64', /^linux-image-\d/);
  const kernelDeb = await packages.fetch(kernelName, work, tree);
  await packages.fetch('busybox-static', work, tree);
  const agentDeb = await packages.fetch('qemu-guest-agent', work, tree);
  const libraries = await agentLibraries(packages, work, tree, join(work, agentDeb));

  const kernel = (await readdir(join(tree, 'boot'))).find((name) => name.startsWith('vmlinuz-'));
  if (kernel === undefined) throw new TestKitError('GUEST', `${kernelDeb} has no boot/vmlinuz-…`);
  await writeFile(join(output, 'vmlinuz'), await readFile(join(tree, 'boot', kernel)), { mode: 0o644 });
  const modules = await collectModules(await modulesFolder(tree), MODULES);
  const entries: CpioEntry[] = [
    { path: 'dev/console', kind: 'device', major: 5, minor: 1 }, // the kernel opens it for /init
    { path: 'init', kind: 'file', data: scripts.init, mode: 0o755 },
    { path: 'sbin/shutdown', kind: 'file', data: scripts.shutdown, mode: 0o755 },
    await file('bin/busybox', await existing(tree, ['bin/busybox', 'usr/bin/busybox'])),
    await file('usr/sbin/qemu-ga', await existing(tree, ['usr/sbin/qemu-ga', 'usr/bin/qemu-ga'])),
    ...(await Promise.all(libraries.map(({ path, from }) => file(path, from)))),
    ...modules.map(({ file, data }): CpioEntry => ({ path: `modules/${file}`, kind: 'file', data, mode: 0o644 })),
    {
      path: 'modules/order',
      kind: 'file',
      data: Buffer.from(modules.map(({ file }) => `${file}\n`).join('')),
      mode: 0o644,
    },
  ];
  await writeFile(join(output, 'initrd'), gzipSync(packCpio(entries)), { mode: 0o644 });
  return [kernelDeb, agentDeb].map((deb) => basename(deb, '.deb').split('_')[1] ?? '').join('-');
}

async function file(path: string, from: string): Promise<CpioEntry> {
  return { path, kind: 'file', data: await readFile(from), mode: 0o755 };
}

async function existing(tree: string, candidates: readonly string[]): Promise<string> {
  for (const candidate of candidates) {
    const path = join(tree, candidate);
    if (await readFile(path).catch(() => null)) return path;
  }
  throw new TestKitError('GUEST', `None of ${candidates.join(', ')} is in the packages of the test guest`);
}

async function modulesFolder(tree: string): Promise<string> {
  for (const base of ['lib/modules', 'usr/lib/modules']) {
    const [version] = await readdir(join(tree, base)).catch(() => []);
    if (version !== undefined) return join(tree, base, version);
  }
  throw new TestKitError('GUEST', 'The kernel package has no modules');
}

interface Library {
  /** Where the agent looks for it in the guest. */
  readonly path: string;
  readonly from: string;
}

/** The agent's libraries: the machine's own where it has them, the rest from the packages that the agent depends on. */
async function agentLibraries(packages: DebianPackages, work: string, tree: string, deb: string): Promise<Library[]> {
  const agent = await existing(tree, ['usr/sbin/qemu-ga', 'usr/bin/qemu-ga']);
  const first = await loaderOutput(agent, tree);
  if (!first.includes('not found')) return parseLoader(first);
  const { stdout } = await run('dpkg-deb', ['-f', deb, 'Depends']);
  for (const name of stdout.split(',').map((part) => part.trim().split(/[ |]/)[0] ?? '')) {
    if (/^lib(?!c6$)/.test(name)) await packages.fetch(name, work, tree);
  }
  const second = await loaderOutput(agent, tree);
  if (!second.includes('not found')) return parseLoader(second);
  throw new TestKitError(
    'GUEST',
    `Libraries of the guest agent are missing; apt-get install qemu-guest-agent has them: ${second}`,
  );
}

async function loaderOutput(agent: string, tree: string): Promise<string> {
  const folders = ['lib', 'usr/lib'].map((base) => join(tree, base, 'x86_64-linux-gnu'));
  return (await run('ldd', [agent], { env: { LD_LIBRARY_PATH: folders.join(':'), LC_ALL: 'C' } })).stdout;
}

function parseLoader(text: string): Library[] {
  const libraries: Library[] = [];
  for (const line of text.split('\n')) {
    const match = /^\s*(?:(\S+) => )?(\/\S+) \(0x/.exec(line);
    if (match?.[2] === undefined) continue;
    // The loader itself has no arrow, and its path is fixed in the program; the others are found by name.
    const path = match[1] === undefined ? match[2].slice(1) : `lib/x86_64-linux-gnu/${match[1]}`;
    libraries.push({ path, from: match[2] });
  }
  return libraries;
}
