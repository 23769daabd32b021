import { RecoveryServer } from '../serve/server.ts';
import { planAttach } from './attach-plan.ts';
import { type Exports, openExports } from './open-exports.ts';
import { type Attached, type Attachment, Parts } from './parts.ts';
import type { MapContext, MapRequest } from './request.ts';

/** A disk that is served. */
export interface MappedExport {
  readonly name: string;
  readonly uri: string;
  readonly disk: string;
  readonly point: string;
  /** The files that it is built of, base first. */
  readonly files: readonly string[];
  /** Bytes. */
  readonly size: number;
  readonly writable: boolean;
}

/**
 * Disks of a restore point in use: served, and perhaps shown as a device or as files.
 *
 * This process serves them: what it reads itself of the mounted files it may wait for for ever. A program that it starts
 * meanwhile closes its copy of the open file, FUSE holds that back until the disk has answered, and node answers nothing until
 * the program runs. Read them in another process.
 */
export class Mapping implements AsyncDisposable {
  readonly exports: readonly MappedExport[];
  /** The exports of the other points, opened when they are asked for. */
  readonly others: readonly { readonly name: string; readonly uri: string }[];
  readonly attached: Attached | undefined;
  /**
   * Resolves when somebody has unmounted the files or disconnected the device; rejects with RecoveryError `ENDED` when a part
   * that it needs has ended otherwise. Never settles for disks that are only served.
   */
  readonly ended: Promise<void>;
  /** Resolves when a client that had opened an export has left and no other is there. */
  readonly lastClientLeft: Promise<void>;
  readonly #parts: Parts;

  private constructor(parts: Parts, server: RecoveryServer, { chosen, others }: Exports, attachment?: Attachment) {
    this.#parts = parts;
    this.exports = chosen.map(({ name, disk: { disk, point, files, source }, overlay }) => {
      return { name, uri: server.uri(name), disk, point, files, size: source.size, writable: overlay !== undefined };
    });
    this.others = others.map(({ name }) => ({ name, uri: server.uri(name) }));
    this.attached = attachment?.attached;
    this.ended = attachment?.ended ?? new Promise(() => undefined);
    this.lastClientLeft = server.lastClientLeft;
  }

  /**
   * Opens, serves and attaches. When it rejects, nothing stays.
   *
   * @throws RecoveryError; BackupSetError, StreamFormatError, NbdServerError, HostError; the signal's reason
   */
  static async start(request: MapRequest, context: MapContext): Promise<Mapping> {
    const parts = new Parts(context);
    try {
      const opened = await openExports(request, context);
      parts.onClose(async () => {
        for (const { disk } of opened.chosen) await disk[Symbol.asyncDispose]();
      });
      const chosen = opened.chosen.map((each) => ({ ...each, overlay: request.overlay }));
      const [first] = chosen;
      const plan = first === undefined ? undefined : await planAttach(first, request.attach, parts, context);
      const address = await parts.guard(request, plan?.kind === 'mount' ? plan.target : null);
      const server = await RecoveryServer.start(
        { ...request, exports: [...chosen, ...opened.others], defaultExport: first?.name, address },
        context,
      );
      parts.onClose(() => server.close());
      const attachment = first && plan && (await parts.attach(server.uri(first.name), plan, request));
      return new Mapping(parts, server, { ...opened, chosen }, attachment);
    } catch (error) {
      await parts.close().catch(() => undefined);
      throw error;
    }
  }

  /**
   * Takes everything away: mounts, device, server, overlay (unless it is kept), private folder.
   *
   * @throws RecoveryError `LEFTOVER`; what closing a kept overlay rejects with
   */
  async close(): Promise<void> {
    await this.#parts.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
