import { readdir, readFile, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import {
  type Certificates,
  findLeftovers,
  freePort,
  giveToDaemon,
  identical,
  makeCertificates,
  requires,
  SERVER_NAME,
} from '@virtnbd/test-kit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { run, start } from '../src/commands.ts';
import { Scenario } from '../src/scenario.ts';
import { filesWith, processesWith, spellings } from '../src/secrets.ts';

const MIB = 1 << 20;
/** Throws in mid-copy what nobody catches, with the first line of a file as its message. */
const CRASH = `
import { readFileSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';
const write = process.stderr.write;
if (isMainThread) process.stderr.write = function (text, ...more) {
  if (String(text).includes('step: copying'))
    setImmediate(() => { throw new Error('crash: ' + readFileSync(process.env.CRASH_SAYS, 'utf8').trim()); });
  return write.call(this, text, ...more);
};
`;
const SASL = { user: 'alice', password: 'o, so "geheim" & more' };

describe.skipIf(requires('sasl', 'certtool').skip)('a libvirt that is reached by its own port', () => {
  let certificates: Certificates;
  let scenario: Scenario;
  let nbdPort: number;
  beforeAll(async () => {
    certificates = await makeCertificates();
    for (const name of await readdir(certificates.folder)) await giveToDaemon(join(certificates.folder, name));
    const port = await freePort();
    nbdPort = await freePort();
    const daemon = { tcp: { port, sasl: SASL }, backupCertificates: certificates.folder };
    scenario = await Scenario.start([{ target: 'vda' }], { daemon });
    scenario.connectBy(`qemu+tcp://127.0.0.1:${port}/session`);
  });
  afterAll(async () => {
    await scenario?.[Symbol.asyncDispose]();
    await certificates?.[Symbol.asyncDispose]();
  });

  /** A folder of its own for this VM, reached in the same way. */
  async function fresh(): Promise<Scenario> {
    const copy = await Scenario.copyOf(scenario);
    copy.connectBy(scenario.env.LIBVIRT_DEFAULT_URI ?? '');
    return copy;
  }
  const passwordFile = ({ work }: Scenario): string => join(work.path, 'password');
  const asUser = (): string[] => ['--user', SASL.user, '--nbd-port', String(nbdPort)];
  const login = async (own: Scenario, password = SASL.password): Promise<string[]> => {
    await writeFile(passwordFile(own), `${password}\n`, { mode: 0o600 });
    return [...asUser(), '--password-file', passwordFile(own)];
  };

  /** A backup that is watched from its beginning to its end. @returns its exit code, and what showed the password */
  async function watched(
    own: Scenario,
    level: string,
    args: readonly string[],
    env: NodeJS.ProcessEnv = {},
  ): Promise<[number | null, string[]]> {
    const command = start('virtnbdbackup', [...own.backupArgs(level, ...args), '-v'], { ...own.env, ...env });
    // What a process was given at its start stays to be seen by its user; those that it starts must not get it.
    const given = 'VIRTNBD_PASSWORD' in env ? command.pid : undefined;
    const shown: string[] = [];
    let ended = false;
    void command.ended.then(() => {
      ended = true;
    });
    while (!ended) shown.push(...(await processesWith(SASL.password, given)));
    const { code, stdout, stderr } = await command.ended;
    const told = spellings(SASL.password).filter((spelling) => `${stdout}${stderr}`.includes(spelling));
    return [code, [...shown, ...told]];
  }

  test('user and password open it, from a file and from the environment; no process and no file shows the password', async () => {
    await using own = await fresh();
    await own.vm.write('vda', 0, 2 * MIB, 0x11);
    await own.keepReference('virtnbdbackup.0');
    expect(await watched(own, 'full', await login(own))).toEqual([0, []]);
    await own.vm.write('vda', MIB, MIB, 0x22);
    await own.keepReference('virtnbdbackup.1');
    const env = { VIRTNBD_PASSWORD: SASL.password };
    expect(await watched(own, 'inc', asUser(), env)).toEqual([0, []]);
    await own.expectAllPointsExact();
    const folders = [own.folder, own.libvirt.workFolder, own.work.path];
    expect(await filesWith(SASL.password, folders)).toEqual([passwordFile(own)]);
    expect(await findLeftovers(own.libvirt, { folders: [own.folder] })).toEqual([]);
  });

  test('a crash does not tell the password either, not in its message nor in the log, and is rolled back', async () => {
    await using own = await fresh();
    const args = await login(own);
    const crash = join(own.work.path, 'crash.mjs');
    await writeFile(crash, CRASH);
    // Read by the script itself: in its text it would be a file that holds the password.
    const env = { ...own.env, NODE_OPTIONS: `--import=${crash}`, CRASH_SAYS: passwordFile(own) };
    const { code, stderr } = await run('virtnbdbackup', own.backupArgs('full', ...args, '-v'), env);
    expect([code, stderr]).toEqual([1, expect.stringContaining('crash: ***')]);
    expect(spellings(SASL.password).filter((spelling) => stderr.includes(spelling))).toEqual([]);
    expect(await filesWith(SASL.password, [own.folder, own.work.path])).toEqual([passwordFile(own)]);
    expect([await own.vm.jobActive(), await own.points()]).toEqual([false, []]);
    expect(await findLeftovers(own.libvirt, { folders: [own.folder] })).toEqual([]);
  });

  test('an authentication file opens it, too, and a password on the command line is shown in no log', async () => {
    await using own = await fresh();
    const file = join(own.work.path, 'auth.conf');
    const lines = [
      '[credentials-test]',
      `authname=${SASL.user}`,
      `password=${SASL.password}`,
      '',
      '[auth-libvirt-127.0.0.1]',
      'credentials=test',
      '',
    ];
    await writeFile(file, lines.join('\n'), { mode: 0o600 });
    const uri = `${own.env.LIBVIRT_DEFAULT_URI}?authfile=${file}`;
    await own.backup('copy', 'copy', '-U', uri, '--nbd-port', String(nbdPort));
    await using other = await fresh();
    const given = await other.backup(
      'copy',
      'copy',
      '--user',
      SASL.user,
      '--password',
      SASL.password,
      '-v',
      '--nbd-port',
      String(nbdPort),
    );
    const logs = (await readdir(other.folder)).filter((name) => name.endsWith('.log'));
    const texts = await Promise.all(logs.map((name) => readFile(join(other.folder, name), 'utf8')));
    for (const text of [given.stderr, ...texts]) expect(text).not.toContain(SASL.password);
    expect(given.stderr).toContain('visible in the list of processes');
  });

  test('a wrong password and none are refused with what to do, and nothing is made', async () => {
    await using own = await fresh();
    const wrong = await own.tryBackup('copy', ...(await login(own, 'wrong')));
    expect([wrong.code, wrong.stderr]).toEqual([1, expect.stringContaining('Give a user and password')]);
    const none = await own.tryBackup('copy');
    expect([none.code, none.stderr]).toEqual([1, expect.stringContaining('Give a user and password')]);
    expect(await readdir(own.folder).catch(() => [])).toEqual([]);
  });

  test('with --tls the blocks come encrypted and the server is verified, by a name that is told, too', async () => {
    await using own = await fresh();
    const tls = [...(await login(own)), '--tls', '--tls-cert', certificates.folder];
    await own.backup('copy', 'copy', ...tls);
    await own.expectAllPointsExact();
    await using named = await fresh();
    await named.backup('copy', 'copy', ...tls, '--tls-hostname', SERVER_NAME);
    await using refused = await fresh();
    const without = [...(await login(refused)), '--tls', '--tls-cert', refused.work.path];
    const { code, stderr } = await refused.tryBackup('full', ...without);
    expect([code, stderr]).toEqual([1, expect.stringContaining('ca-cert.pem is missing')]);
    expect([await refused.vm.jobActive(), await refused.points()]).toEqual([false, []]);
    expect(await findLeftovers(refused.libvirt, { folders: [refused.folder] })).toEqual([]);
  });

  test('kernel and initrd come through libvirt when they are volumes of a storage pool, and are refused before', async () => {
    await using own = await Scenario.in(scenario.libvirt, [{ target: 'vda', size: '8M' }], { guest: true });
    own.connectBy(scenario.env.LIBVIRT_DEFAULT_URI ?? '');
    const xml = await own.vm.xml();
    const paths = ['kernel', 'initrd'].map((kind) => new RegExp(`<${kind}>(.*)</${kind}>`).exec(xml)?.[1] ?? '');
    const [kernel = ''] = paths;
    const { code, stderr } = await own.tryBackup('full', ...(await login(own)));
    expect([code, stderr]).toEqual([
      1,
      expect.stringContaining(`pool-create-as NAME dir --target '${dirname(kernel)}'`),
    ]);
    expect([await own.vm.checkpoints(), await own.points()]).toEqual([[], []]);
    await own.libvirt.virsh('pool-create-as', 'boot files', 'dir', '--target', dirname(kernel));
    await own.backup('full', 'virtnbdbackup.0', ...(await login(own)));
    for (const path of paths)
      expect(await identical(join(own.folder, `${basename(path)}.virtnbdbackup.0`), path)).toBe(true);
    await own.expectAllPointsExact();
    await own.libvirt.virsh('pool-destroy', 'boot files');
    expect(await findLeftovers(own.libvirt, { folders: [own.folder] })).toEqual([]);
  });

  test('a VM that is off is refused with the reason', async () => {
    await using own = await fresh();
    await own.vm.destroy();
    const { code, stderr } = await own.tryBackup('copy', ...(await login(own)));
    expect([code, stderr]).toEqual([1, expect.stringContaining("only libvirt's daemon is reached, not the images")]);
    const restored = await run(
      'virtnbdrestore',
      ['-U', own.env.LIBVIRT_DEFAULT_URI ?? '', '-D', '-i', own.folder, '-o', '/x'],
      own.env,
    );
    expect(restored.code).not.toBe(0);
    await own.vm.start();
  });
});
