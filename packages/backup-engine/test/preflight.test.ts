import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { LocalHost } from '@virtnbd/host';
import { type JobInfo, LibvirtError } from '@virtnbd/libvirt-ops';
import { requires, type TempFolder, tempFolder } from '@virtnbd/test-kit';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { beginError } from '../src/job/begin-error.ts';
import { ScratchWatch } from '../src/job/scratch-watch.ts';
import type { DomainState } from '../src/plan/plan.ts';
import { preflight } from '../src/plan/preflight.ts';
import { mayNot } from '../src/plan/qemu-user.ts';

const MIB = 1 << 20;
const host = new LocalHost();
let folder: TempFolder;

beforeEach(async () => {
  folder = await tempFolder();
});
afterEach(() => folder.remove());

/** This machine, with so much room. */
function roomy(free: number): LocalHost {
  const { files } = new LocalHost();
  const room = new Proxy(files, {
    get: (target, name) => (name === 'freeSpace' ? async () => free : Reflect.get(target, name).bind(target)),
  });
  return Object.assign(new LocalHost(), { files: room });
}

interface Found {
  state?: DomainState;
  libvirt?: number;
  qemu?: number;
  /** What libvirt says of the VM's kind. */
  backup?: boolean | null | LibvirtError;
  job?: JobInfo;
  free?: number;
  bytes?: number;
  force?: boolean;
}

async function check(found: Found): Promise<string[]> {
  const warnings: string[] = [];
  const machine = roomy(found.free ?? 1000 * MIB);
  await preflight({
    libvirt: {
      version: async () => ({ libvirt: found.libvirt ?? 9_000_000, hypervisor: found.qemu ?? 7_002_000, client: 0 }),
      domainCapabilities: async () => {
        const { backup = true } = found;
        if (backup instanceof LibvirtError) throw backup;
        return { backup };
      },
      jobInfo: async () => found.job ?? { type: 'none', operation: 'unknown' },
    },
    host: machine,
    hypervisor: machine,
    request: {
      domain: 'vm1',
      level: 'full',
      folder: join(folder.path, 'not', 'there'),
      scratchFolder: folder.path,
      ...(found.force !== undefined && { force: found.force }),
    },
    plan: { domain: { name: 'vm1', uuid: 'U' }, state: found.state ?? 'running', handling: 'none' },
    guest: { emulator: '/opt/qemu', arch: 'x86_64', machine: 'pc', type: 'kvm' },
    estimates: [{ disk: 'vda', virtualSize: 4096 * MIB, bytes: found.bytes ?? 100 * MIB }],
    qemuUser: null,
    piped: false,
    network: false,
    tell: (event) => {
      if (event.type === 'warning') warnings.push(event.message);
    },
  });
  return warnings;
}

test('a host that has what it needs passes', async () => {
  expect(await check({})).toEqual([]);
});

test.each<[string, Found, string, string]>([
  ['an old libvirt', { libvirt: 7_005_000 }, 'OLD_VERSION', 'apt-get install libvirt-daemon'],
  ['an old QEMU', { qemu: 4_001_001 }, 'OLD_VERSION', 'QEMU 4.1.1'],
  ['a QEMU that makes no backups', { backup: false }, 'NO_BACKUPS', "--emulatorbin '/opt/qemu' --arch 'x86_64'"],
  ['another job', { job: { type: 'unbounded', operation: 'migration-out' } }, 'JOB_ACTIVE', 'virsh domjobabort vm1'],
  ['a full scratch file system', { free: 130 * MIB, bytes: 100 * MIB }, 'NO_SPACE', '--scratchdir'],
  ['a full backup file system', { free: 400 * MIB, bytes: 500 * MIB }, 'NO_SPACE', 'df -h'],
])('%s is refused, with the command that mends it', async (_name, found, code, command) => {
  await expect(check(found)).rejects.toMatchObject({ code, message: expect.stringContaining(command) });
});

test.each<[string, Found]>([
  ['does not say whether it makes backups', { backup: null }],
  ['does not tell what such a VM can do', { backup: new LibvirtError('INVALID_ARG', 'no such machine') }],
])('a libvirt that %s is judged by its version', async (_name, found) => {
  expect(await check(found)).toEqual([]);
});

test('a VM that is off needs no backup job, nor a QEMU that makes one', async () => {
  expect(await check({ backup: false, state: 'off' })).toEqual([]);
});

test('too little space is a warning under --force', async () => {
  expect(await check({ free: 10 * MIB, force: true })).toHaveLength(2);
});

test("a folder that the VM's qemu may not write to, or not enter, is named with its mode", async (context) => {
  context.skip(requires('root').skip, 'trying as another user needs root');
  const inner = join(folder.path, 'inner');
  await mkdir(inner);
  await chmod(folder.path, 0o755);
  await chmod(inner, 0o755);
  const stranger = { uid: 1, gid: 1 };
  expect(await mayNot(host, stranger, inner)).toBe('it may not write there (mode 0755)');
  await chmod(inner, 0o777);
  expect(await mayNot(host, stranger, inner)).toBeNull();
  await chmod(folder.path, 0o700);
  expect(await mayNot(host, stranger, inner)).toBe(`it may not enter ${folder.path} (mode 0700)`);
  expect(await mayNot(host, { uid: 0, gid: 0 }, inner)).toBeNull();
});

test('a job that is not permitted to begin says how to permit it, by what confines the VM', () => {
  const denied = new LibvirtError('INTERNAL_ERROR', "unable to execute QEMU command: Failed to bind socket to '/s'");
  const said = (securityModels: string[]) => {
    const plan = { parent: null, checkpoint: null, disks: [], domain: { name: 'vm1', uuid: 'U' }, securityModels };
    return String(beginError(denied, plan, '/s'));
  };
  expect(said(['apparmor', 'dac'])).toContain('/etc/apparmor.d/local/abstractions/libvirt-qemu');
  expect(said(['selinux', 'dac'])).toContain('audit2allow');
  expect(said([])).toContain('the user of the VM');
});

test('a scratch file system that is about to be full ends the backup', async () => {
  using watch = new ScratchWatch(roomy(63 * MIB), folder.path);
  await new Promise((resolve) => watch.signal.addEventListener('abort', resolve));
  expect(watch.signal.reason).toMatchObject({ code: 'SCRATCH_FULL', message: expect.stringContaining(folder.path) });
});
