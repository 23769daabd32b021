import { mkdirSync, statSync } from 'node:fs';
import Module from 'node:module';
import { fileURLToPath } from 'node:url';

/** In the folder of the app's package, whose files this user could change as well. */
const FOLDER = '../.cache/';

/**
 * Has node keep what it compiles, which makes every later start of the command shorter. Call it before the first import of
 * more than this. The cache belongs to one user alone; where the package belongs to another one there is none, and nothing is
 * said. `NODE_DISABLE_COMPILE_CACHE=1` turns it off.
 *
 * @param importMetaUrl `import.meta.url` of the bin file, which lies one folder below the package.json
 */
export function useCompileCache(importMetaUrl: string): void {
  const folder = fileURLToPath(new URL(FOLDER, importMetaUrl));
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    // Code of it is run: nobody else may have put it there.
    const { uid, mode } = statSync(folder);
    if (uid === process.geteuid?.() && (mode & 0o077) === 0) Module.enableCompileCache(folder);
  } catch {
    // A package that cannot be written to, as is usual; or a node older than 22, of which others tell.
  }
}
