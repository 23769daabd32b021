import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheFolder } from '../cache-folder.ts';
import { TestKitError } from '../errors.ts';
import { findProgram, run } from '../programs.ts';

/**
 * Fetches packages of the machine's Debian without installing them, which needs no root. Where apt's lists are missing or
 * too old, lists of our own are made in the cache folder from the machine's sources.
 */
export class DebianPackages {
  private options: readonly string[] = [];

  static check(): void {
    const missing = ['apt-get', 'apt-cache', 'dpkg-deb'].filter((program) => findProgram(program) === null);
    if (missing.length > 0) {
      throw new TestKitError(
        'GUEST',
        `The test guest is made from Debian packages, and this machine has no ${missing.join(', ')}: run on Debian or Ubuntu, or set VIRTNBD_CACHE to a cache that holds a guest`,
      );
    }
  }

  /** The package that a metapackage stands for: `linux-image-cloud-amd64` → `linux-image-6.1.0-56-cloud-amd64`. */
  dependency(metapackage: string, pattern: RegExp): Promise<string> {
    return this.orWithOwnLists(async () => {
      const { stdout } = await run('apt-cache', [...this.options, 'depends', metapackage], { env: { LC_ALL: 'C' } });
      const found = [...stdout.matchAll(/Depends: (\S+)/g)]
        .map((match) => match[1] ?? '')
        .find((name) => pattern.test(name));
      if (found === undefined) throw new TestKitError('GUEST', `${metapackage} depends on nothing like ${pattern}`);
      return found;
    });
  }

  /** Downloads a package into the folder and unpacks it into `into`. Returns the name of the .deb. */
  fetch(name: string, folder: string, into: string): Promise<string> {
    return this.orWithOwnLists(async () => {
      const before = new Set(await readdir(folder));
      await run('apt-get', [...this.options, ...AS_CALLER, 'download', name], { cwd: folder, timeoutMs: 600_000 });
      const deb = (await readdir(folder)).find((file) => file.endsWith('.deb') && !before.has(file));
      if (deb === undefined) throw new TestKitError('GUEST', `apt-get download ${name} left no .deb in ${folder}`);
      await run('dpkg-deb', ['-x', join(folder, deb), into]);
      return deb;
    });
  }

  private async orWithOwnLists<T>(step: () => Promise<T>): Promise<T> {
    try {
      return await step();
    } catch (error) {
      if (this.options.length > 0) throw cannotFetch(error);
    }
    const lists = join(await cacheFolder('apt'), 'lists');
    const cache = join(await cacheFolder('apt'), 'cache');
    await mkdir(join(lists, 'partial'), { recursive: true });
    await mkdir(join(cache, 'archives/partial'), { recursive: true });
    this.options = ['-o', `Dir::State::lists=${lists}`, '-o', `Dir::Cache=${cache}`];
    // A third party's source that fails does not matter: what counts is whether the packages can be had.
    await run('apt-get', [...this.options, ...AS_CALLER, 'update'], { timeoutMs: 600_000 }).catch(() => {});
    return step().catch((error: unknown) => {
      throw cannotFetch(error);
    });
  }
}

/** As root apt would read as the user _apt, who may not see our folders. */
const AS_CALLER = ['-q', '-o', 'APT::Sandbox::User=root'];

function cannotFetch(cause: unknown): TestKitError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new TestKitError(
    'GUEST',
    `The packages of the test guest cannot be fetched (is there a network?): ${reason}`,
    {
      cause,
    },
  );
}
