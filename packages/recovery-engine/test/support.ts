import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BackupSet } from '@virtnbd/backup-set';
import { NbdClient } from '@virtnbd/nbd-client';
import { host } from '@virtnbd/sample-sets';
import { sha256File, tempFolder } from '@virtnbd/test-kit';
import { folderExports, type OverlayRequest, RecoveryServer, type ServeEvent } from '../src/index.ts';

const ALLOCATION = 'base:allocation';

/** A server over a backup folder, on a socket in a folder of its own. */
export interface TestServer extends AsyncDisposable {
  readonly server: RecoveryServer;
  readonly socket: string;
  /** The folder of the socket and of temporary overlays. */
  readonly scratch: string;
  readonly events: ServeEvent[];
  connect(exportName: string): Promise<NbdClient>;
}

export async function serveFolder(
  folder: string,
  point = 'latest',
  overlay?: 'temporary' | { path: string },
): Promise<TestServer> {
  const scratch = await tempFolder('vn-recovery-');
  const socket = join(scratch.path, 'nbd.sock');
  const events: ServeEvent[] = [];
  try {
    const set = await BackupSet.open(host, folder);
    const { chosen, others } = await folderExports(set, point);
    const request = overlayRequest(overlay, scratch.path);
    const exports = [...chosen.map((each) => ({ ...each, overlay: request })), ...others];
    const onEvent = (event: ServeEvent) => events.push(event);
    const server = await RecoveryServer.start({ exports, address: { path: socket } }, { host, onEvent });
    return {
      server,
      socket,
      scratch: scratch.path,
      events,
      connect: (exportName) => NbdClient.connect({ path: socket }, { exportName, metaContexts: [ALLOCATION] }),
      async [Symbol.asyncDispose]() {
        await server.close();
        await scratch.remove();
      },
    };
  } catch (error) {
    await scratch.remove();
    throw error;
  }
}

function overlayRequest(
  overlay: 'temporary' | { path: string } | undefined,
  folder: string,
): OverlayRequest | undefined {
  if (overlay === undefined) return undefined;
  return overlay === 'temporary' ? { kind: 'temporary', folder } : { kind: 'kept', path: overlay.path };
}

/** Name and digest of every file in a folder: nothing may change in a backup. */
export async function fingerprint(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return await Promise.all(files.sort().map(async (file) => `${file} ${await sha256File(file)}`));
}

/** The bytes of a file that nbdcopy made. */
export async function bytesOf(path: string): Promise<Uint8Array> {
  return new Uint8Array(await readFile(path));
}
