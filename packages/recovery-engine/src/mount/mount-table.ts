import { type Host, HostError } from '@virtnbd/host';

/** Something that is mounted. */
export interface MountEntry {
  readonly target: string;
  readonly source: string;
  readonly type: string;
}

/** A loop device that is in use. */
export interface LoopDevice {
  readonly device: string;
  /** The path of its file when it was set up. */
  readonly file: string;
}

/** All that is mounted, the last one last. By findmnt: it touches no mount point, and so does not hang on a dead one. */
export async function mountTable(host: Host): Promise<MountEntry[]> {
  const rows = await rowsOf(host, 'findmnt', ['--json', '--list', '--output', 'TARGET,SOURCE,FSTYPE'], 'filesystems');
  return rows.map((row) => ({ target: text(row, 'target'), source: text(row, 'source'), type: text(row, 'fstype') }));
}

export async function loopDevices(host: Host): Promise<LoopDevice[]> {
  const rows = await rowsOf(host, 'losetup', ['--json', '--list', '--output', 'NAME,BACK-FILE'], 'loopdevices');
  return rows.map((row) => ({ device: text(row, 'name'), file: text(row, 'back-file') }));
}

async function rowsOf(host: Host, program: string, args: readonly string[], key: string): Promise<object[]> {
  const output = await host.run(program, args).catch((error: unknown) => {
    // Nothing to list is exit code 1 with some versions, and nothing at all is printed.
    if (error instanceof HostError && error.code === 'PROGRAM_FAILED' && error.exitCode === 1) return { stdout: '' };
    throw error;
  });
  if (output.stdout.trim() === '') return [];
  const parsed: unknown = JSON.parse(output.stdout);
  const rows: unknown = typeof parsed === 'object' && parsed !== null ? Reflect.get(parsed, key) : undefined;
  return Array.isArray(rows) ? rows.filter((row) => typeof row === 'object' && row !== null) : [];
}

function text(row: object, key: string): string {
  const value: unknown = Reflect.get(row, key);
  return typeof value === 'string' ? value : '';
}
