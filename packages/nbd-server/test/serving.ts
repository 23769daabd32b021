import { join } from 'node:path';
import { type TempFolder, tempFolder } from '@virtnbd/test-kit';
import { type BlockSource, NbdServer, type ServerEvent, type ServerOptions } from '../src/index.ts';

/** A server on a unix socket of its own, with what it has told. */
export interface Serving extends AsyncDisposable {
  readonly server: NbdServer;
  readonly path: string;
  readonly folder: TempFolder;
  readonly events: ServerEvent[];
  uri(exportName?: string): string;
}

export async function serve(
  source: BlockSource | ServerOptions['exports'],
  options: Partial<ServerOptions> = {},
): Promise<Serving> {
  const folder = await tempFolder();
  const path = join(folder.path, 'nbd.sock');
  const events: ServerEvent[] = [];
  const exports = 'read' in source ? [{ source }] : source;
  const server = await NbdServer.listen({ path }, { exports, ...options, onEvent: (event) => void events.push(event) });
  return {
    server,
    path,
    folder,
    events,
    uri: (exportName) => server.uri(exportName),
    async [Symbol.asyncDispose]() {
      await server.close();
      await folder.remove();
    },
  };
}
