import { join } from 'node:path';
import type { Host } from '@virtnbd/host';
import { TAR_END, tarEntry } from './tar.ts';

/** Far more than a TPM has. */
const MAX_FILE_BYTES = 16 << 20;

/**
 * The TPM's state as a tar archive. Each file is read at one go: the emulator replaces its state by a rename, so what is
 * read is one state, not half of two.
 */
export async function* tpmStateArchive(host: Host, folder: string): AsyncGenerator<Uint8Array> {
  yield* entriesOf(host, folder, '');
  yield TAR_END;
}

async function* entriesOf(host: Host, folder: string, below: string): AsyncGenerator<Uint8Array> {
  for (const { name, kind } of await host.files.list(join(folder, below))) {
    const path = below === '' ? name : `${below}/${name}`;
    const stat = await host.files.stat(join(folder, path));
    if (stat === null) continue; // a temporary file of the emulator's
    const facts = { path, mode: stat.mode, uid: stat.uid, gid: stat.gid, modified: stat.modified };
    if (kind === 'folder') {
      yield* tarEntry({ ...facts, kind: 'folder', content: new Uint8Array() });
      yield* entriesOf(host, folder, path);
    } else if (kind === 'file') {
      const content = await host.files.readSmall(join(folder, path), MAX_FILE_BYTES);
      yield* tarEntry({ ...facts, kind: 'file', content });
    }
  }
}
