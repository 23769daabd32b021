import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { requires } from '@virtnbd/test-kit';
import { describe, expect, test } from 'vitest';
import { tempFolder } from '../temp.ts';
import { describeHosts } from './describe-hosts.ts';

describeHosts('unix sockets', (host) => {
  describe('waitForSocket', () => {
    test('resolves when a server listens, without connecting to it', async () => {
      const path = join(await tempFolder(), 'a socket');
      let connections = 0;
      const server = createServer(() => connections++);
      const waiting = host().waitForSocket(path);
      server.listen(path);
      await waiting;
      await new Promise((resolve) => setImmediate(resolve));
      expect(connections).toBe(0);
      server.close();
      await once(server, 'close');
    });

    test.skipIf(requires('qemu-nbd', 'qemu-img').skip)(
      'resolves for qemu-nbd, which serves one client only',
      async () => {
        const folder = await tempFolder();
        const image = join(folder, 'disk.img');
        const path = join(folder, 'nbd.sock');
        await host().run('qemu-img', ['create', '-f', 'raw', image, '1M']);
        const program = await host().start('qemu-nbd', ['-f', 'raw', '-k', path, image]);
        await host().waitForSocket(path, { program });
        const { stdout } = await host().run('qemu-img', ['info', `nbd+unix:///?socket=${encodeURIComponent(path)}`]);
        expect(stdout).toContain('1 MiB');
        await expect(program.exited).resolves.toEqual({ code: 0, signal: null, stopped: false });
      },
    );

    test.skipIf(requires('python3').skip)('waits for a socket that is bound but does not listen yet', async () => {
      const path = join(await tempFolder(), 's');
      const script = `import socket, time
s = socket.socket(socket.AF_UNIX); s.bind(${JSON.stringify(path)}); print('bound', flush=True); time.sleep(600)`;
      const program = await host().start('python3', ['-c', script]);
      await expect(host().waitForSocket(path, { program, timeoutMs: 500 })).rejects.toMatchObject({ code: 'TIMEOUT' });
      await program.stop();
    });

    test.skipIf(requires('python3').skip)('resolves for a server that bound a relative path', async () => {
      const folder = await tempFolder();
      const script = `import os, socket, time
os.chdir(${JSON.stringify(folder)}); s = socket.socket(socket.AF_UNIX); s.bind('s'); s.listen(); time.sleep(600)`;
      const program = await host().start('python3', ['-c', script]);
      await host().waitForSocket(join(folder, 's'), { program });
      await program.stop();
    });

    test('rejects at once with the message of a program that ended', async () => {
      const path = join(await tempFolder(), 's');
      const program = await host().start('sh', ['-c', 'echo "cannot open image" >&2; exit 1']);
      await expect(host().waitForSocket(path, { program })).rejects.toMatchObject({
        code: 'PROGRAM_FAILED',
        exitCode: 1,
        message: 'sh ended with exit code 1: cannot open image',
      });
    });

    test('rejects after the time-out, also when a plain file lies there', async () => {
      const path = join(await tempFolder(), 's');
      await writeFile(path, '');
      await expect(host().waitForSocket(path, { timeoutMs: 30 })).rejects.toMatchObject({ code: 'TIMEOUT', path });
    });

    test('rejects with the reason of the abort', async () => {
      const controller = new AbortController();
      const reason = new Error('enough');
      const waiting = host().waitForSocket(join(await tempFolder(), 's'), { signal: controller.signal });
      controller.abort(reason);
      await expect(waiting).rejects.toBe(reason);
    });

    test('refuses a path that is too long for a socket', async () => {
      await expect(host().waitForSocket(`/tmp/${'x'.repeat(103)}`)).rejects.toMatchObject({ code: 'BAD_NAME' });
    });
  });

  describe('route', () => {
    test('leads to a server, as often as wanted, until it is closed', async () => {
      const path = join(await tempFolder(), 'server.sock');
      const server = createServer((socket) => socket.end('hello')).listen(path);
      await host().waitForSocket(path);
      await using route = await host().route(path);
      for (let time = 0; time < 2; time++) {
        const [text] = await once(connect(route.path), 'data');
        expect(String(text)).toBe('hello');
      }
      server.close();
    });

    test('carries many connections at once, both ways, byte for byte', async () => {
      const path = join(await tempFolder(), 'echo.sock');
      const server = createServer((socket) => socket.pipe(socket)).listen(path);
      await host().waitForSocket(path);
      await using route = await host().route(path);
      const sent = Array.from({ length: 6 }, () => randomBytes(300_000));
      const received = await Promise.all(
        sent.map(async (bytes) => {
          const socket = connect(route.path);
          socket.end(bytes);
          const parts: Buffer[] = [];
          for await (const part of socket) parts.push(part);
          return Buffer.concat(parts);
        }),
      );
      expect(received.map((bytes, i) => bytes.equals(sent[i] ?? Buffer.alloc(0)))).toEqual(sent.map(() => true));
      server.close();
    });
  });

  test('who this process is does not depend on the host that is asked', async () => {
    const identity = await host().identity();
    expect(identity.pid).toBe(process.pid);
    expect(await host().isAlive(identity)).toBe(true);
  });
});
