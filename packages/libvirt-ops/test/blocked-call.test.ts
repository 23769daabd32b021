import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { TestLibvirt, type TestVm, tempFolder } from '@virtnbd/test-kit';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { buildBackupXml, LibvirtConnection, LibvirtError } from '../src/index.ts';

const INDEX = new URL('../src/index.ts', import.meta.url).href;

let libvirt: TestLibvirt;
let vm: TestVm;

beforeAll(async () => {
  libvirt = await TestLibvirt.start();
  vm = await libvirt.createVm({ disks: [{ target: 'vda' }] });
});

afterAll(() => libvirt?.stop());

/** Runs a module in a process of its own and waits for its end. */
async function run(script: string): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  return { code, stdout, stderr };
}

/** A QEMU that is stopped answers nothing: whatever asks it blocks until it goes on. */
async function withStoppedQemu<T>(use: () => Promise<T>): Promise<T> {
  const pid = await vm.pid();
  process.kill(pid, 'SIGSTOP');
  try {
    return await use();
  } finally {
    process.kill(pid, 'SIGCONT');
  }
}

describe('a call that blocks', () => {
  afterEach(async () => {
    if (await vm.jobActive()) await vm.virsh('domjobabort');
    if ((await vm.state()) === 'running') await vm.suspend();
  });

  test('holds up its own connection and no other', async () => {
    const [first, second] = await Promise.all([
      LibvirtConnection.open(libvirt.uri),
      LibvirtConnection.open(libvirt.uri),
    ]);
    const order: string[] = [];
    let blocked: Promise<unknown> = Promise.resolve();
    await withStoppedQemu(async () => {
      blocked = first.resume(vm.uuid).then(() => order.push('blocked'));
      const behind = first.lookup(vm.name).then(() => order.push('behind it'));
      expect(await second.lookup(vm.name)).toMatchObject({ uuid: vm.uuid });
      order.push('other connection');
      blocked = Promise.all([blocked, behind]);
    });
    await blocked;
    expect(order).toEqual(['other connection', 'blocked', 'behind it']);
    await Promise.all([first.close(), second.close()]);
  });

  test('of a job that waits for another ends when the other is aborted from a second connection', async () => {
    const [first, second] = await Promise.all([
      LibvirtConnection.open(libvirt.uri),
      LibvirtConnection.open(libvirt.uri),
    ]);
    const xml = buildBackupXml({
      socketPath: join(libvirt.workFolder, 'job.sock'),
      disks: [{ target: 'vda', backup: true, scratchFile: join(libvirt.workFolder, 'scratch.qcow2') }],
    });
    await first.backupBegin(vm.uuid, xml);
    const waiting = first.backupBegin(vm.uuid, xml);
    expect(await second.jobInfo(vm.uuid)).toMatchObject({ operation: 'backup' });
    await second.abortJob(vm.uuid);
    await waiting;
    expect(await second.jobInfo(vm.uuid)).toMatchObject({ operation: 'backup' });
    await Promise.all([first.close(), second.close()]);
  });

  test('is given up by close() when it takes too long', async () => {
    const connection = await LibvirtConnection.open(libvirt.uri);
    await withStoppedQemu(async () => {
      const blocked = connection.resume(vm.uuid).catch((error: LibvirtError) => error.code);
      await connection.close({ timeoutMs: 100 });
      expect(await blocked).toBe('CLOSED');
    });
  });

  test('does not keep a process that exits, nor change its exit code', async () => {
    const result = await withStoppedQemu(() =>
      run(`
        import { LibvirtConnection } from ${JSON.stringify(INDEX)};
        const connection = await LibvirtConnection.open(${JSON.stringify(libvirt.uri)});
        connection.resume('${vm.uuid}');
        await new Promise((resolve) => setTimeout(resolve, 300));
        process.stdout.write('x'.repeat(100000));
        process.exit(5);`),
    );
    expect(result).toEqual({ code: 5, stdout: 'x'.repeat(100000), stderr: '' });
  });

  test('does not keep a process that gave it up and has nothing else to do', async () => {
    const result = await withStoppedQemu(() =>
      run(`
        import { LibvirtConnection } from ${JSON.stringify(INDEX)};
        const connection = await LibvirtConnection.open(${JSON.stringify(libvirt.uri)});
        connection.lost.addEventListener('abort', () => console.log('lost'));
        const blocked = connection.resume('${vm.uuid}').catch((error) => console.log(error.message));
        await new Promise((resolve) => setTimeout(resolve, 300));
        connection.abandon(new Error('given up'));
        await blocked;
        process.exitCode = 6;`),
    );
    expect(result).toEqual({ code: 6, stdout: 'lost\ngiven up\n', stderr: '' });
  });
});

describe('a process', () => {
  test('ends by itself after close()', async () => {
    const result = await run(`
      import { LibvirtConnection } from ${JSON.stringify(INDEX)};
      const connection = await LibvirtConnection.open(${JSON.stringify(libvirt.uri)});
      console.log((await connection.lookup('${vm.name}')).uuid);
      await connection.close();`);
    expect(result).toEqual({ code: 0, stdout: `${vm.uuid}\n`, stderr: '' });
  });

  test('ends by itself, or by exit, with a connection that was never closed', async () => {
    const script = (last: string) => `
      import { LibvirtConnection } from ${JSON.stringify(INDEX)};
      const connection = await LibvirtConnection.open(${JSON.stringify(libvirt.uri)});
      await connection.lookup('${vm.name}');
      ${last}`;
    expect(await run(script(''))).toEqual({ code: 0, stdout: '', stderr: '' });
    expect(await run(script('process.exit(4);'))).toEqual({ code: 4, stdout: '', stderr: '' });
  });

  test('stays while a call is pending that nothing else waits for', async () => {
    const result = await run(`
      import { LibvirtConnection } from ${JSON.stringify(INDEX)};
      LibvirtConnection.open(${JSON.stringify(libvirt.uri)}).then((connection) =>
        connection.lookup('${vm.name}').then(({ uuid }) => console.log(uuid)));`);
    expect(result).toEqual({ code: 0, stdout: `${vm.uuid}\n`, stderr: '' });
  });
});

describe('opening, where a server accepts and says nothing,', () => {
  async function withMuteServer<T>(use: (uri: string) => Promise<T>): Promise<T> {
    await using folder = await tempFolder();
    const path = join(folder.path, 'mute.sock');
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(path, resolve));
    const sockets: { destroy(): void }[] = [];
    server.on('connection', (socket) => {
      sockets.push(socket);
      socket.on('error', () => undefined);
    });
    try {
      return await use(`qemu:///session?socket=${path}`);
    } finally {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  test('ends when its time is over', async () => {
    await withMuteServer(async (uri) => {
      await expect(LibvirtConnection.open(uri, { timeoutMs: 200 })).rejects.toMatchObject({ code: 'TIMEOUT' });
    });
  });

  test('ends when it is aborted, with the reason', async () => {
    const reason = new Error('stop');
    await withMuteServer(async (uri) => {
      const controller = new AbortController();
      const opening = LibvirtConnection.open(uri, { signal: controller.signal });
      controller.abort(reason);
      await expect(opening).rejects.toBe(reason);
    });
  });

  test('does not keep the process', async () => {
    const result = await withMuteServer((uri) =>
      run(`
        import { LibvirtConnection } from ${JSON.stringify(INDEX)};
        await LibvirtConnection.open(${JSON.stringify(uri)}, { timeoutMs: 300 }).catch((error) => console.log(error.code));`),
    );
    expect(result).toEqual({ code: 0, stdout: 'TIMEOUT\n', stderr: '' });
  });
});

test('a daemon that ends is told by the next call and by the signal', async () => {
  await using other = await TestLibvirt.start();
  const connection = await LibvirtConnection.open(other.uri);
  await other.restartDaemon('SIGKILL');
  expect(connection.lost.aborted).toBe(false);
  const error = await connection.domainList().catch((e: unknown) => e);
  expect(error).toBeInstanceOf(LibvirtError);
  expect(error).toMatchObject({ code: 'CONNECT' });
  expect(connection.lost.reason).toBe(error);
  await expect(connection.lookup('x')).rejects.toBe(error);
  await connection.close();
  await using again = await LibvirtConnection.open(other.uri);
  expect(await again.domainList()).toEqual([]);
});
