import { HostError } from '../errors.ts';
import { describeTarget, knownHostsName, type SshTarget } from './ssh-target.ts';

/** What ssh said when it could not connect, as an error that says what to do. */
export function connectFailure(target: SshTarget, stderr: string, cause: unknown): HostError {
  const said = stderr.trim().split('\n').slice(-4).join('; ').slice(0, 600);
  const name = describeTarget(target);
  const fields = { program: 'ssh', stderr, cause };
  if (/REMOTE HOST IDENTIFICATION HAS CHANGED|host key .*has changed/i.test(stderr)) {
    const text =
      `the host key of ${name} is not the one that ssh knows: another machine answers, or its key was renewed. Find out ` +
      `which; only if it was renewed: ssh-keygen -R '${knownHostsName(target)}', and then ${acceptCommand(target)}`;
    return new HostError('HOST_KEY', text, fields);
  }
  if (/host key verification failed|no .* host key is known/i.test(stderr)) {
    const text = `ssh does not know the host key of ${name} yet; look at it, and accept it, with: ${acceptCommand(target)}`;
    return new HostError('HOST_KEY', text, fields);
  }
  if (/permission denied|too many authentication failures|no more authentication methods/i.test(stderr)) {
    const text =
      `ssh may not log in to ${name} (${said}): keys only, no password is asked for here. Try: ` +
      `ssh -o BatchMode=yes ${loginWords(target)} true`;
    return new HostError('LOGIN', text, fields);
  }
  const text = `ssh cannot reach ${name}: ${said || 'it said nothing'}. Try: ssh ${loginWords(target)} true`;
  return new HostError('UNREACHABLE', text, fields);
}

/** The link is gone while it was in use. */
export function linkLost(target: SshTarget, stderr: string): HostError {
  const said = stderr.trim().split('\n').at(-1) ?? '';
  const text = `the ssh connection to ${describeTarget(target)} was lost${said === '' ? '' : ` (${said})`}; try again when the link stands`;
  return new HostError('LINK_LOST', text, { program: 'ssh', stderr });
}

/** ssh itself, which shows the key's fingerprint and asks. */
function acceptCommand(target: SshTarget): string {
  return `ssh ${loginWords(target)} true`;
}

function loginWords({ host, user, port, privateKey }: SshTarget): string {
  const words = [
    ...(port === undefined ? [] : ['-p', String(port)]),
    ...(privateKey === undefined ? [] : ['-i', `'${privateKey}'`]),
    `${user === undefined ? '' : `${user}@`}${host}`,
  ];
  return words.join(' ');
}
