import { type AgentCommands, runInGuest } from './guest-programs.ts';

/** What opens a BitLocker volume when its TPM does not. */
export interface RecoveryKey {
  /** `C`: the volume's mount point without what a file name cannot hold. */
  readonly volume: string;
  /** What Windows prints of the volume's key protectors. */
  readonly text: string;
}

/** An absolute path: the agent's service may have another PATH. */
const MANAGE_BDE = String.raw`C:\Windows\System32\manage-bde.exe`;

/** Whether the agent has said that the guest is a Windows: `os.id` of libvirt's guest information. */
export function isWindows(info: Readonly<Record<string, unknown>>): boolean {
  return info['os.id'] === 'mswindows';
}

/**
 * The recovery keys of a Windows guest's BitLocker volumes. None when no volume is protected, and none when the guest
 * has no BitLocker.
 *
 * @throws LibvirtError when the agent does not run programs (they are forbidden by default in some builds) or does not answer
 */
export async function readRecoveryKeys(
  agent: AgentCommands,
  uuid: string,
  signal: AbortSignal,
): Promise<readonly RecoveryKey[]> {
  const status = await runInGuest(agent, uuid, MANAGE_BDE, ['-status'], signal);
  if (status === null || status.exitCode !== 0) return [];
  const keys: RecoveryKey[] = [];
  for (const volume of volumesOf(status.stdout)) {
    const protectors = await runInGuest(agent, uuid, MANAGE_BDE, ['-protectors', '-get', volume], signal);
    // A volume without protectors gives an error.
    if (protectors === null || protectors.exitCode !== 0 || !HAS_KEY.test(protectors.stdout)) continue;
    keys.push({ volume: fileNamePart(volume), text: protectors.stdout });
  }
  return keys;
}

/** A numerical password, eight groups of six digits: the same in every language of Windows. */
const HAS_KEY = /\b\d{6}(-\d{6}){7}\b/;

/** Drive letters and mount points in what `manage-bde -status` prints, in whatever language: `Volume C: [System]`. */
export function volumesOf(status: string): string[] {
  const found = [...status.matchAll(/^\S[^\r\n]*?\b([A-Z]:(?:\\[^\s"[\]]*)?)(?=["\s]|$)/gm)].map(
    ([, volume]) => volume ?? '',
  );
  return [...new Set(found)];
}

function fileNamePart(volume: string): string {
  return volume.replace(/:$/, '').replace(/[^A-Za-z0-9]+/g, '_');
}
