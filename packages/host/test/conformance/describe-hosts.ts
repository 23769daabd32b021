import { requires, type SshServer, startSshServer } from '@virtnbd/test-kit';
import { afterAll, beforeAll, describe } from 'vitest';
import { type Host, LocalHost, SshHost } from '../../src/index.ts';

/**
 * One list of behaviours for every implementation of `Host`: this machine, and the same machine behind an sshd of its own,
 * so that a test can look at what was done there.
 */
export function describeHosts(title: string, tests: (host: () => Host) => void): void {
  describe(`${title}: this machine`, () => {
    const host = new LocalHost();
    tests(() => host);
  });
  describe.skipIf(requires('sshd').skip)(`${title}: behind ssh`, () => {
    let server: SshServer;
    let host: SshHost;
    beforeAll(async () => {
      server = await startSshServer();
      host = await SshHost.connect({ host: server.alias, configFile: server.configFile });
    });
    afterAll(async () => {
      await host?.close();
      await server?.stop();
    });
    tests(() => host);
  });
}
