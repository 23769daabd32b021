import type { ConnectionInfo, ServerEvent } from '@virtnbd/nbd-server';
import { RecoveryError } from '../errors.ts';

/** What a server of recovered disks tells. */
export type ServeEvent =
  /** Of a disk that a client has opened. */
  | { readonly type: 'note'; readonly exportName: string; readonly message: string }
  | {
      readonly type: 'client-opened';
      readonly client: ConnectionInfo;
      readonly exportName: string;
      readonly tls: boolean;
    }
  | {
      readonly type: 'client-left';
      readonly client: ConnectionInfo;
      readonly exportName: string | undefined;
      /** Why, where it did not leave in good order. */
      readonly reason: string | undefined;
      /** Clients that are left. */
      readonly left: number;
    }
  | { readonly type: 'client-refused'; readonly peer: string }
  /** A client got EIO: a backup file is damaged. Told once for each place in a file. */
  | {
      readonly type: 'damage';
      readonly exportName: string;
      /** What was asked for: bytes of the disk. */
      readonly offset: number;
      readonly length: number;
      readonly error: RecoveryError;
    }
  /** A client got an error for another reason: no space for the overlay, a point that cannot be opened. */
  | { readonly type: 'failure'; readonly exportName: string; readonly command: string; readonly error: unknown };

/** Places of damage that are remembered, so that a kernel that tries again and again does not fill the log. */
const REMEMBERED = 10_000;

/** Translates the events of the NBD server. */
export class EventTranslator {
  readonly #told = new Set<string>();

  translate(event: ServerEvent): ServeEvent | null {
    switch (event.type) {
      case 'connected':
        return null;
      case 'opened': {
        const { connection: client, exportName, tls } = event;
        return { type: 'client-opened', client, exportName, tls };
      }
      case 'disconnected': {
        const { connection: client, exportName, error, left } = event;
        return { type: 'client-left', client, exportName, reason: error?.message, left };
      }
      case 'refused':
        return { type: 'client-refused', peer: event.peer };
      case 'source-error':
        return this.#failure(event);
    }
  }

  #failure(event: Extract<ServerEvent, { type: 'source-error' }>): ServeEvent | null {
    const { exportName, command, offset, length, error } = event;
    if (!(error instanceof RecoveryError) || error.code !== 'DAMAGED') {
      return { type: 'failure', exportName, command, error };
    }
    const place = `${error.file}:${error.fileOffset}`;
    if (this.#told.has(place)) return null;
    if (this.#told.size < REMEMBERED) this.#told.add(place);
    return { type: 'damage', exportName, offset, length, error };
  }
}
