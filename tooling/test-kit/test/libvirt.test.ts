import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { isRunning, requires, run, TestLibvirt, waitFor } from '../src/index.ts';

const { skip } = requires('libvirt');

describe.skipIf(skip)('a libvirt of its own', () => {
  test('is reached through its uri by the caller and by the user that it runs as', async () => {
    await using libvirt = await TestLibvirt.start();
    expect(libvirt.uri).toMatch(/^qemu:\/\/\/session\?socket=\//);
    expect(Buffer.byteLength(libvirt.uri.slice(libvirt.uri.indexOf('=') + 1))).toBeLessThanOrEqual(107);
    expect((await libvirt.virsh('uri')).trim()).toBe(libvirt.uri);
    const { uid, gid } = libvirt.identity;
    expect(uid).not.toBe(0);
    if (libvirt.identity.dropped) {
      const drop = [`--reuid=${uid}`, `--regid=${gid}`, '--clear-groups', 'virsh', '-c', libvirt.uri, 'uri'];
      expect((await libvirt.run('setpriv', drop)).stdout.trim()).toBe(libvirt.uri);
    }
  });

  test('knows only its own VMs, also beside another instance', async () => {
    const [one, two] = await Promise.all([TestLibvirt.start(), TestLibvirt.start()]);
    try {
      const spec = { name: 'same name', disks: [{ target: 'vda', size: '1M' }] };
      const [first, second] = await Promise.all([one.createVm(spec), two.createVm(spec)]);
      expect(first.uuid).not.toBe(second.uuid);
      expect((await one.virsh('list', '--all', '--uuid')).trim()).toBe(first.uuid);
      expect((await two.virsh('list', '--all', '--uuid')).trim()).toBe(second.uuid);
      await one.stop();
      expect(await second.state()).toBe('paused');
    } finally {
      await Promise.all([one.stop(), two.stop()]);
    }
  });

  test('stops without leaving a process or a file', async () => {
    const libvirt = await TestLibvirt.start();
    await libvirt.createVm({ disks: [{ target: 'vda', size: '1M' }] });
    await libvirt.createVm({ disks: [{ target: 'vda', size: '1M' }], paused: false });
    const pids = await libvirt.runningQemu();
    expect(pids).toHaveLength(2);
    await libvirt.stop();
    expect(pids.filter(isRunning)).toEqual([]);
    expect(existsSync(libvirt.folder)).toBe(false);
    await libvirt.stop(); // a second time does nothing
  });

  test.each(['SIGKILL', 'SIGTERM', 'exit'])('leaves nothing when the test process ends by %s', async (how) => {
    const kit = new URL('../src/index.ts', import.meta.url).href;
    const script = `
      import { TestLibvirt } from ${JSON.stringify(kit)};
      const libvirt = await TestLibvirt.start();
      await libvirt.createVm({ disks: [{ target: 'vda', size: '1M' }] });
      console.log(JSON.stringify({ folder: libvirt.folder, pids: await libvirt.runningQemu() }));
      ${how === 'exit' ? 'process.exit(0)' : `process.kill(process.pid, '${how}')`};`;
    const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    await once(child, 'close');
    const { folder, pids } = JSON.parse(text) as { folder: string; pids: number[] };
    expect(pids).toHaveLength(1);
    await waitFor(() => !existsSync(folder) && !pids.some(isRunning), { what: 'The watchdog' });
  });

  test('lets a process end that forgot to stop it', async () => {
    const kit = new URL('../src/index.ts', import.meta.url).href;
    const script = `
      import { TestLibvirt } from ${JSON.stringify(kit)};
      const libvirt = await TestLibvirt.start();
      console.log(libvirt.folder);`;
    const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', script], { timeoutMs: 30_000 });
    await waitFor(() => !existsSync(stdout.trim()), { what: 'The watchdog' });
  });

  test('keeps the VMs when the daemon restarts', async () => {
    await using libvirt = await TestLibvirt.start();
    const vm = await libvirt.createVm({ disks: [{ target: 'vda', size: '1M' }] });
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      await libvirt.restartDaemon(signal);
      expect(await vm.state()).toBe('paused');
      await vm.write('vda', 0, 4096, 7);
    }
  });
});

describe.skipIf(skip)('odd names', () => {
  const names = [
    'with spaces',
    'brackets [x] (y) {z}',
    'quotes \' " `',
    'ünïcödé 日本語 🙂',
    '-starts-with-a-dash',
    'a&b<c>;d|e$f\\g*?',
    'percent %s %20 # ~ = , :',
    'n'.repeat(120),
  ];

  test('of VMs are taken as they are', async () => {
    await using libvirt = await TestLibvirt.start();
    for (const name of names) {
      const vm = await libvirt.createVm({ name, disks: [{ target: 'vda', size: '1M' }] });
      expect((await libvirt.virsh('domname', vm.uuid)).replace(/\n+$/, '')).toBe(name);
      await vm.write('vda', 0, 4096, 1);
      await vm.reference('vda', join(libvirt.workFolder, 'reference.raw'));
    }
  });
});
