import { HostError } from '../errors.ts';
import { describeTarget, type SshTarget } from './ssh-target.ts';

/** The server opens no session more on a connection; what was to run there has not begun. */
export class SessionRefused extends HostError {
  constructor(target: SshTarget, program: string, stderr: string) {
    const text =
      `${program} cannot be started on ${describeTarget(target)}: its ssh server opens too few sessions on one connection; ` +
      'raise MaxSessions in its sshd_config';
    super('LIMIT', text, { program, stderr });
  }
}
