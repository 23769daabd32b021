import type { Host } from '@virtnbd/host';
import {
  type BlockSource,
  type ListenAddress,
  type NbdExport,
  NbdServer,
  type RequestInfo,
  type ServerTlsOptions,
} from '@virtnbd/nbd-server';
import { RecoveryError } from '../errors.ts';
import type { DiskAtPoint } from './disk-at-point.ts';
import { EventTranslator, type ServeEvent } from './events.ts';
import { type OverlayRequest, openOverlay } from './overlay.ts';

/** A disk to serve. */
export interface ExportRequest {
  readonly name: string;
  /** For people, in the list that clients see. */
  readonly description?: string;
  /** Open already, or how to open it when the first client asks for it. The server closes it. */
  readonly disk: DiskAtPoint | (() => Promise<DiskAtPoint>);
  /** Where writes go; without it the export is read-only. */
  readonly overlay?: OverlayRequest | undefined;
}

export interface ServeRequest {
  readonly exports: readonly ExportRequest[];
  /** Of the clients who name no export. */
  readonly defaultExport?: string | undefined;
  readonly address: ListenAddress;
  readonly tls?: ServerTlsOptions | undefined;
  /** The largest request, in bytes, that clients are told and held to; 32 MiB unless told. */
  readonly maxBlockSize?: number | undefined;
  /** Requests of a client that are served at a time; 16 unless told. */
  readonly maxRequests?: number | undefined;
}

export interface ServeContext {
  readonly host: Host;
  readonly onEvent?: ((event: ServeEvent) => void) | undefined;
  /** Every request, before it is judged: for a log. */
  readonly onRequest?: ((request: RequestInfo) => void) | undefined;
}

/** Serves disks of restore points to NBD clients. */
export class RecoveryServer implements AsyncDisposable {
  readonly #server: NbdServer;
  readonly #disks: OpenedDisks;
  /** Resolves when a client that had opened an export has left and no other is there. */
  readonly lastClientLeft: Promise<void>;

  private constructor(server: NbdServer, disks: OpenedDisks, lastClientLeft: Promise<void>) {
    this.#server = server;
    this.#disks = disks;
    this.lastClientLeft = lastClientLeft;
  }

  /**
   * Listens when the promise resolves. Disks that came open are closed also when it rejects.
   *
   * @throws NbdServerError; what opening an overlay rejects with
   */
  static async start(request: ServeRequest, context: ServeContext): Promise<RecoveryServer> {
    const disks = new OpenedDisks(context);
    try {
      for (const { disk } of request.exports) if (typeof disk !== 'function') disks.add(disk);
      const exports: NbdExport[] = [];
      for (const each of request.exports) exports.push(await nbdExport(each, request, disks));
      let leave: () => void = () => undefined;
      const left = new Promise<void>((resolve) => {
        leave = resolve;
      });
      const server = await NbdServer.listen(request.address, { ...optionsOf(request, context, leave), exports });
      return new RecoveryServer(server, disks, left);
    } catch (error) {
      await disks.close().catch(() => undefined);
      throw error;
    }
  }

  /** The NBD URI of an export, for qemu-img, nbdcopy and the like. */
  uri(exportName: string): string {
    return this.#server.uri(exportName);
  }

  /** Where it listens: the port that was found, where any was asked for. */
  get address(): NbdServer['address'] {
    return this.#server.address;
  }

  /**
   * Answers what is under way, ends all connections, removes the socket, closes overlays and disks. Rejects where a kept
   * overlay could not be brought to stable storage.
   */
  async close(): Promise<void> {
    await this.#server.close();
    await this.#disks.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

async function nbdExport(each: ExportRequest, request: ServeRequest, disks: OpenedDisks): Promise<NbdExport> {
  const { name, description, disk, overlay } = each;
  const source = typeof disk === 'function' ? async () => disks.open(each, await disk()) : await disks.open(each, disk);
  const { maxBlockSize } = request;
  return {
    name,
    source,
    readOnly: overlay === undefined,
    ...(description !== undefined && { description }),
    ...(maxBlockSize !== undefined && { blockSize: { maximum: maxBlockSize } }),
  };
}

function optionsOf(request: ServeRequest, { onEvent, onRequest }: ServeContext, leave: () => void) {
  const translator = new EventTranslator();
  const { defaultExport, tls, maxRequests } = request;
  return {
    ...(defaultExport !== undefined && { defaultExport }),
    ...(tls !== undefined && { tls }),
    ...(maxRequests !== undefined && { maxRequests }),
    ...(onRequest !== undefined && { onRequest }),
    onEvent: (event: Parameters<EventTranslator['translate']>[0]) => {
      const told = translator.translate(event);
      if (told !== null) onEvent?.(told);
      if (event.type === 'disconnected' && event.exportName !== undefined && event.left === 0) leave();
    },
  };
}

/** The disks and overlays of a server. */
class OpenedDisks {
  readonly #context: ServeContext;
  readonly #opened: AsyncDisposable[] = [];
  #closed = false;

  constructor(context: ServeContext) {
    this.#context = context;
  }

  add(disk: DiskAtPoint): void {
    this.#opened.push(disk);
  }

  /** What clients of an export read, and write to. */
  async open({ name, disk: given, overlay }: ExportRequest, disk: DiskAtPoint): Promise<BlockSource> {
    if (given !== disk) this.add(disk);
    for (const message of disk.notes) this.#context.onEvent?.({ type: 'note', exportName: name, message });
    const opened = overlay === undefined ? undefined : await openOverlay(this.#context.host, disk, overlay);
    if (opened !== undefined) this.#opened.push(opened);
    // A client that asked just before the end: nothing must stay open.
    if (this.#closed) {
      await this.close();
      throw new RecoveryError('USAGE', 'The server is closed.');
    }
    return opened?.source ?? disk.source;
  }

  /** Last first: overlays before the disks that they lie on. */
  async close(): Promise<void> {
    this.#closed = true;
    const failures: unknown[] = [];
    for (const resource of this.#opened.splice(0).reverse()) {
      await Promise.resolve(resource[Symbol.asyncDispose]()).catch((error: unknown) => failures.push(error));
    }
    if (failures.length > 0) throw failures[0];
  }
}
