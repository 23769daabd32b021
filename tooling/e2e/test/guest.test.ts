import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import {
  type AgentAnswer,
  type AgentRequest,
  identical,
  makeImage,
  requires,
  run as runProgram,
  ScriptedAgent,
  scriptChannel,
  startSshServer,
  type TempFolder,
  TestLibvirt,
  type TestVm,
  tempFolder,
  waitFor,
} from '@virtnbd/test-kit';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { start, succeed } from '../src/commands.ts';

const execute = promisify(execFile);
const driver = fileURLToPath(new URL('../src/run-and-die.ts', import.meta.url));

let work: TempFolder;
let libvirt: TestLibvirt;
/** Its guest runs its agent and has an ext4 file system mounted at /mnt. */
let vm: TestVm;
let env: NodeJS.ProcessEnv;
let scriptPath: string;
let folders = 0;

beforeAll(async () => {
  work = await tempFolder();
  libvirt = await TestLibvirt.start();
  const image = join(work.path, 'guest.raw');
  await makeImage(image, { format: 'raw', size: '64M' });
  await runProgram('mkfs.ext4', ['-q', '-F', image]);
  const disk = join(work.path, 'guest.qcow2');
  await runProgram('qemu-img', ['convert', '-O', 'qcow2', image, disk]);
  const channel = scriptChannel(libvirt.workFolder);
  scriptPath = channel.path;
  vm = await libvirt.createVm({ disks: [{ target: 'vda', image: disk }], guest: true, xmlExtra: channel.xml });
  env = { LIBVIRT_DEFAULT_URI: libvirt.uri, HOME: work.path };
  await vm.waitForAgent();
});
afterAll(async () => {
  await libvirt?.stop();
  await work?.remove();
});

/** A folder of its own for each backup of the one VM. */
function newFolder(): string {
  folders += 1;
  return join(work.path, `backup-${folders}`);
}

const argsInto = (folder: string, level: string): string[] => ['-d', vm.name, '-l', level, '-o', folder, '-n'];

/** Processes of ours that run in this test's home: whatever they are called. */
async function processesOfOurs(): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const environments = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')));
  return pids.filter((_pid, index) => environments[index]?.split('\0').includes(`HOME=${work.path}`));
}

test("a file that the guest has just written is in the backup, by the freeze; the guest's file system is thawed", async () => {
  await vm.guestExec('echo written just now > /mnt/news');
  const folder = newFolder();
  const { stderr } = await succeed('virtnbdbackup', argsInto(folder, 'full'), env);
  expect(stderr).toMatch(/froze [1-9]\d* file system/);
  expect(stderr).toMatch(/thawed the guest after \d+ ms/);
  expect(await vm.fsFrozen()).toBe(false);
  const target = join(work.path, 'restored');
  await succeed('virtnbdrestore', ['-i', folder, '-o', target, '-n'], env);
  const raw = join(work.path, 'restored.raw');
  await runProgram('qemu-img', ['convert', '-O', 'raw', join(target, 'guest.qcow2'), raw]);
  expect((await runProgram('debugfs', ['-R', 'cat news', raw])).stdout).toContain('written just now');
});

test('kernel, initrd, autostart and what the agent tells of the guest are in the point, and in its manifest', async () => {
  await vm.virsh('autostart');
  const folder = newFolder();
  await succeed('virtnbdbackup', argsInto(folder, 'full'), env);
  await vm.virsh('autostart', '--disable');
  const manifest = JSON.parse(await readFile(join(folder, 'virtnbdbackup.0.manifest.json'), 'utf8'));
  const names: string[] = manifest.files.map(({ name }: { name: string }) => name);
  const xml = await vm.xml();
  for (const kind of ['kernel', 'initrd']) {
    const path = new RegExp(`<${kind}>(.*)</${kind}>`).exec(xml)?.[1] ?? '';
    const saved = `${path.slice(path.lastIndexOf('/') + 1)}.virtnbdbackup.0`;
    expect(names).toContain(saved);
    expect(await identical(join(folder, saved), path)).toBe(true);
  }
  expect(await readFile(join(folder, 'autostart.virtnbdbackup.0'), 'utf8')).toBe('True');
  const info = JSON.parse(await readFile(join(folder, 'osinfo.virtnbdbackup.0'), 'utf8'));
  expect(info).toMatchObject({ 'fs.0.mountpoint': '/mnt', hostname: expect.any(String) });
  expect(names).toEqual(expect.arrayContaining(['autostart.virtnbdbackup.0', 'osinfo.virtnbdbackup.0']));
});

test('a run that is killed between freeze and thaw leaves the guest thawed, by its watchdog, which ends', async () => {
  const folder = newFolder();
  const args = [driver, 'frozen', 'full', vm.name, folder, libvirt.uri];
  const running = execute(process.execPath, args, { env: { ...process.env, ...env } });
  await expect(running).rejects.toMatchObject({ signal: 'SIGKILL' });
  await waitFor(async () => (await processesOfOurs()).length === 0, { what: 'The end of the watchdog' });
  expect(await vm.fsFrozen()).toBe(false);
  const { stderr } = await succeed('virtnbdbackup', argsInto(folder, 'full'), env);
  expect(stderr).toMatch(/thawed the guest after \d+ ms/);
  expect(await processesOfOurs()).toEqual([]);
});

test.skipIf(requires('sshd', 'nc').skip)(
  'over ssh, too: the connection ends with the run, and the watchdog finds its own way to the guest',
  async () => {
    await using server = await startSshServer();
    const socket = new URL(libvirt.uri).searchParams.get('socket');
    const uri = `qemu+ssh://${server.user}@${server.address}:${server.port}/session?socket=${socket}`;
    const path = { PATH: `${server.binFolder}:${process.env.PATH}` };
    const args = [driver, 'frozen', 'full', vm.name, newFolder(), uri];
    const running = execute(process.execPath, args, { env: { ...process.env, ...env, ...path } });
    await expect(running).rejects.toMatchObject({ signal: 'SIGKILL' });
    await waitFor(async () => (await processesOfOurs()).length === 0, { timeoutMs: 60_000, what: 'The watchdog' });
    expect(await vm.fsFrozen()).toBe(false);
  },
);

test('a run that hangs between freeze and thaw has its guest thawed by the watchdog', async () => {
  const folder = newFolder();
  const command = start('virtnbdbackup', argsInto(folder, 'full'), env);
  await waitFor(() => command.stderr().includes('froze'), { what: 'The freeze' });
  command.kill('SIGSTOP');
  await waitFor(async () => !(await vm.fsFrozen()), { timeoutMs: 60_000, what: 'The thaw' });
  command.kill('SIGCONT');
  expect((await command.ended).code).toBe(0);
});

test('a run that is told to end after the freeze leaves the guest thawed, and no job', async () => {
  const command = start('virtnbdbackup', argsInto(newFolder(), 'full'), env);
  await waitFor(() => command.stderr().includes('froze'), { what: 'The freeze' });
  command.kill('SIGTERM');
  await command.ended;
  expect(await vm.fsFrozen()).toBe(false);
  expect(await vm.jobActive()).toBe(false);
});

const KEY = '111111-222222-333333-444444-555555-666666-777777-888888';

/** What a Windows with BitLocker on one of its two volumes answers. */
function windows(request: AgentRequest): AgentAnswer {
  const printed = [
    'Volume C: [System]\r\n[OS Volume]\r\n\r\nVolume D: [Data]\r\n',
    `Volume C: [System]\r\nAll Key Protectors\r\n    Password:\r\n      ${KEY}\r\n`,
  ];
  switch (request.execute) {
    case 'guest-fsfreeze-freeze':
    case 'guest-fsfreeze-thaw':
      return { return: 2 };
    case 'guest-get-osinfo':
      return { return: { id: 'mswindows', name: 'Microsoft Windows', version: 'Windows 11' } };
    case 'guest-exec': {
      const { path, arg } = request.arguments ?? {};
      if (path !== 'C:\\Windows\\System32\\manage-bde.exe' || !Array.isArray(arg)) return { error: 'no such program' };
      return { return: { pid: arg[0] === '-status' ? 0 : arg.at(-1) === 'C:' ? 1 : 2 } };
    }
    case 'guest-exec-status': {
      const text = printed[Number(request.arguments?.pid)];
      const output = Buffer.from(text ?? 'ERROR: No key protectors found.').toString('base64');
      return { return: { exited: true, exitcode: text === undefined ? 1 : 0, 'out-data': output } };
    }
    default:
      return { error: `The command ${request.execute} has not been found` };
  }
}

test('the BitLocker recovery keys of a Windows guest lie in the point, and are announced', async () => {
  await using agent = await ScriptedAgent.start(vm, scriptPath, windows);
  const folder = newFolder();
  const { stderr } = await succeed('virtnbdbackup', argsInto(folder, 'full'), env);
  expect(stderr).toContain('BitLocker recovery key of volume C');
  expect(agent.requests.map(({ execute }) => execute)).toContain('guest-fsfreeze-thaw');
  const names = await readdir(folder);
  expect(names.filter((name) => name.startsWith('bitlocker'))).toEqual(['bitlocker.recovery.key.C.virtnbdbackup.0']);
  expect(await readFile(join(folder, 'bitlocker.recovery.key.C.virtnbdbackup.0'), 'utf8')).toContain(KEY);
  const info = JSON.parse(await readFile(join(folder, 'osinfo.virtnbdbackup.0'), 'utf8'));
  expect(info['os.id']).toBe('mswindows');
});

test('an agent that hangs in mid-freeze hangs nothing; when it goes on, the watchdog thaws what it froze, and ends', async () => {
  const guest = { hangs: false, frozen: false };
  await using _agent = await ScriptedAgent.start(vm, scriptPath, ({ execute }) => {
    if (execute === 'guest-fsfreeze-freeze') guest.hangs = true;
    if (guest.hangs) return 'silent';
    if (execute === 'guest-fsfreeze-thaw') guest.frozen = false;
    return { return: execute.startsWith('guest-fsfreeze') ? 1 : {} };
  });
  const { stderr } = await succeed('virtnbdbackup', argsInto(newFolder(), 'full'), env);
  expect(stderr).toContain('a watchdog thaws them');
  expect(await processesOfOurs()).toHaveLength(1);
  Object.assign(guest, { hangs: false, frozen: true });
  await waitFor(async () => (await processesOfOurs()).length === 0, { what: 'The end of the watchdog' });
  expect(guest.frozen).toBe(false);
}, 120_000);

// The last one: the guest's own agent does not come back.
test('an agent that hangs does not hang the run: it goes on without a freeze, and says so', async () => {
  const folder = newFolder();
  await succeed('virtnbdbackup', argsInto(folder, 'full'), env);
  await vm.guestExec('(sleep 0.5; kill -STOP $(pidof qemu-ga)) > /dev/null 2>&1 &');
  await waitFor(
    () =>
      vm.fsFrozen().then(
        () => false,
        () => true,
      ),
    { what: 'The end of answers', timeoutMs: 60_000 },
  );
  const { stderr } = await succeed('virtnbdbackup', argsInto(folder, 'inc'), env);
  expect(stderr).toContain('WARNING the guest');
}, 240_000);
