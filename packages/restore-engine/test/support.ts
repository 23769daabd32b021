import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { host } from '@virtnbd/sample-sets';
import { type TempFolder, tempFolder } from '@virtnbd/test-kit';
import {
  type RestoreContext,
  type RestoreEvent,
  type RestoreRequest,
  type RestoreResult,
  runRestore,
} from '../src/index.ts';

const execute = promisify(execFile);

/** A folder for a backup, and one for what is restored. */
export class Place implements AsyncDisposable {
  readonly backup: string;
  readonly target: string;
  readonly #folder: TempFolder;

  private constructor(folder: TempFolder) {
    this.#folder = folder;
    this.backup = join(folder.path, 'backup');
    this.target = join(folder.path, "restored, [é'] here");
  }

  static async make(): Promise<Place> {
    const place = new Place(await tempFolder());
    await host.files.makeFolder(place.backup);
    return place;
  }

  path(name: string): string {
    return join(this.#folder.path, name);
  }

  /** Restores the newest point, unless told otherwise. */
  restore(request: Partial<RestoreRequest> = {}, context: Partial<RestoreContext> = {}): Promise<RestoreResult> {
    const wanted = { folder: this.backup, target: this.target, point: 'latest', ...request };
    return runRestore(wanted, { host, ...context });
  }

  /** The names in the target folder. */
  async restored(): Promise<string[]> {
    if ((await host.files.stat(this.target)) === null) return [];
    return (await host.files.list(this.target)).map(({ name }) => name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#folder.remove();
  }
}

/** What an image holds, byte by byte, as qemu-img reads it. */
export async function bytesOf(image: string, format: string): Promise<Buffer> {
  const raw = `${image}.read`;
  try {
    await execute('qemu-img', ['convert', '-f', format, '-O', 'raw', image, raw]);
    return await readFile(raw);
  } finally {
    await host.files.remove(raw);
  }
}

/** What `qemu-img info` says, with what is particular to the format. */
export async function infoOf(
  image: string,
): Promise<{ format: string; data: Record<string, unknown> } & Record<string, unknown>> {
  const { stdout } = await execute('qemu-img', ['info', '--output=json', image]);
  const info = JSON.parse(stdout) as Record<string, unknown> & { format: string };
  const specific = info['format-specific'] as { data?: Record<string, unknown> } | undefined;
  return { ...info, data: specific?.data ?? {} };
}

/** Runs a program of the host. */
export async function run(program: string, ...args: string[]): Promise<string> {
  return (await execute(program, args)).stdout;
}

/** The notes of a restore. */
export function notes(): { onEvent: (event: RestoreEvent) => void; all: string[] } {
  const all: string[] = [];
  return { all, onEvent: (event) => void (event.type === 'note' && all.push(event.message)) };
}
