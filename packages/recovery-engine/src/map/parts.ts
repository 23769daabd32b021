import type { ListenAddress } from '@virtnbd/nbd-server';
import { attachDevice } from '../device/attach-device.ts';
import { RecoveryError } from '../errors.ts';
import { mountDisk } from '../mount/mount-disk.ts';
import { placesIn, removeTraces, type Traces } from '../mount/traces.ts';
import type { MountWay } from '../mount/ways.ts';
import { Watchdog } from '../watchdog.ts';
import type { AttachPlan } from './attach-plan.ts';
import type { MapContext, MapRequest } from './request.ts';

/** What a disk is mapped to, beside being served. */
export type Attached =
  | { readonly kind: 'device'; readonly device: string }
  | { readonly kind: 'mount'; readonly target: string; readonly way: MountWay; readonly description: string };

export interface Attachment {
  readonly attached: Attached;
  readonly ended: Promise<void>;
}

/** What has been made so far, and how it is taken away again: the last first. */
export class Parts {
  readonly #context: MapContext;
  readonly #closers: (() => Promise<void>)[] = [];
  #madeTarget = false;
  #traces: Traces | undefined;
  #closing: Promise<void> | undefined;

  constructor(context: MapContext) {
    this.#context = context;
  }

  onClose(closer: () => Promise<void>): void {
    this.#closers.push(closer);
  }

  /** The folder to mount on was made for this mapping. */
  targetMade(target: string): void {
    this.#madeTarget = true;
    this.onClose(() => this.#context.host.files.removeFolder(target));
  }

  /** Where to listen. What could be left behind by a kill is guarded from here on. */
  async guard(request: MapRequest, target: string | null): Promise<ListenAddress> {
    const { address } = request;
    if (address !== 'private' && target === null) return address;
    const { host, root } = this.#context;
    const folder = await host.files.makeTempFolder(request.runtimeFolder, 'virtnbdmap-');
    const traces = { folder, target, madeTarget: this.#madeTarget, root };
    this.#traces = traces;
    let watchdog: Watchdog | undefined;
    this.onClose(async () => {
      await removeTraces(host, traces);
      await watchdog?.release();
    });
    watchdog = await Watchdog.start('mapping', traces);
    return address === 'private' ? { path: placesIn(folder).socket } : address;
  }

  /** Shows the disk as what was planned. */
  async attach(uri: string, plan: AttachPlan, { overlay }: MapRequest): Promise<Attachment> {
    const { host, signal } = this.#context;
    const readOnly = overlay === undefined;
    if (plan.kind === 'device') {
      const { device, ended, stop } = await attachDevice(host, { uri, device: plan.device, readOnly, signal });
      this.onClose(stop);
      return { attached: { kind: 'device', device }, ended };
    }
    const traces = this.#traces;
    if (traces === undefined) throw new RecoveryError('USAGE', 'A mount needs a private folder.');
    const { target, mount } = plan;
    const { way, description, ended, stop } = await mountDisk(host, mount, {
      uri,
      folder: traces.folder,
      target,
      readOnly,
      signal,
    });
    // Unmounted while its server still answers.
    this.onClose(stop);
    this.onClose(() => removeTraces(host, traces));
    return { attached: { kind: 'mount', target, way, description }, ended };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const failures: unknown[] = [];
    for (const closer of this.#closers.splice(0).reverse()) {
      await closer().catch((error: unknown) => failures.push(error));
    }
    if (failures.length > 0) throw failures[0];
  }
}
