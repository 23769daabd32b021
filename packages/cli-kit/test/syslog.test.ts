import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { tempFolder } from '@virtnbd/test-kit';
import { expect, test } from 'vitest';
import { Logger, openSyslog, Screen } from '../src/index.ts';

/** A socket of datagrams as a system's log has it, which prints what comes; node has none. */
const RECEIVER = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind(sys.argv[1]); print('ready', flush=True)
while True: print(s.recv(65536).decode(), flush=True)
`;

test('lines arrive in the system log with their priority, without secrets, colours and the time', async () => {
  await using folder = await tempFolder();
  const socket = join(folder.path, 'log');
  const receiver = spawn('python3', ['-c', RECEIVER, socket]);
  try {
    let received = '';
    receiver.stdout.setEncoding('utf8').on('data', (text: string) => {
      received += text;
    });
    await once(receiver.stdout, 'data');
    const log = new Logger({ screen: new Screen({ write: () => undefined }) });
    log.attachSink(await openSyslog('virtnbdtest', ['--socket', socket, '--rfc3164']));
    log.addSecret('hunter2');
    log.debug('not shown, so not sent');
    log.info('first hunter2');
    log.warn('two\nlines');
    log.error('last');
    await log.close();
    while (!received.includes('last')) await once(receiver.stdout, 'data');
    const lines = received.split('\n').filter((line) => line.includes('virtnbdtest'));
    const shape = lines.map((line) => [/^<(\d+)>/.exec(line)?.[1], /\]: (.*)$/.exec(line)?.[1]]);
    expect(shape).toEqual([
      ['14', 'first ***'],
      ['12', 'two'],
      ['12', 'lines'],
      ['11', 'last'],
    ]);
    expect(lines[0]).toContain(`virtnbdtest[${process.pid}]`);
  } finally {
    receiver.kill();
  }
});
