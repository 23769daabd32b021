import { HostError, LocalHost } from '@virtnbd/host';
import { NbdError } from '@virtnbd/nbd-client';
import { expect, test } from 'vitest';
import { socketExports } from '../src/job/socket-exports.ts';

/** A host behind ssh, as far as it is asked here. */
class OtherHost extends LocalHost {
  override readonly name = 'backup@hypervisor';
  readonly #failure: HostError | null;

  constructor(failure: HostError | null) {
    super();
    this.#failure = failure;
  }

  override async run(): Promise<{ stdout: string; stderr: string }> {
    if (this.#failure !== null) throw this.#failure;
    return { stdout: '', stderr: '' };
  }
}

const refused = new NbdError('HANDSHAKE', 'the NBD server closed the connection');

async function explained(host: LocalHost): Promise<unknown> {
  const socketPath = '/nonexistent/job.sock';
  const job = { server: { socketPath }, socketPath, scratchFiles: new Map() };
  const { explain } = await socketExports(
    host,
    job,
    () => '',
    async () => undefined,
  );
  return await explain?.(refused);
}

test('a socket that the login may not open is told from other failures, with what helps', async () => {
  const denied = new HostError('PROGRAM_FAILED', 'sh ended with exit code 1', { exitCode: 1 });
  expect(await explained(new OtherHost(denied))).toMatchObject({
    code: 'SOCKET_DENIED',
    message: expect.stringMatching(/backup@hypervisor may not open .*--ssh-user.*--nbd-ip/),
    cause: refused,
  });
  expect(await explained(new OtherHost(null))).toBe(refused);
  expect(await explained(new LocalHost())).toBe(refused);
});

test('a link that is gone is what the run fails with', async () => {
  const lost = new HostError('LINK_LOST', 'the ssh connection was lost');
  expect(await explained(new OtherHost(lost))).toBe(lost);
});
