import type { Host } from '@virtnbd/host';
import type { ListenAddress, RequestInfo, ServerTlsOptions } from '@virtnbd/nbd-server';
import type { OpenDiskOptions } from '../serve/disk-at-point.ts';
import type { ServeEvent } from '../serve/events.ts';
import type { OverlayRequest } from '../serve/overlay.ts';

/** What is mapped, and to what. */
export interface MapRequest {
  readonly disks: /** Disks at a point of a folder, all of the point unless told; the other points are offered as `vda@POINT`. */
    | { readonly kind: 'folder'; readonly folder: string; readonly point: string; readonly disk?: string | undefined }
    /** The files of one disk's chain, base first. */
    | { readonly kind: 'files'; readonly files: readonly string[] };
  /** The name of the export, where there is one disk; the disk's own unless told. */
  readonly exportName?: string | undefined;
  /** Where writes go; without it everything is read-only. */
  readonly overlay?: OverlayRequest | undefined;
  /** `private`: a socket that only this user reaches, in a folder that is made for it. */
  readonly address: ListenAddress | 'private';
  /** Where private folders are made. */
  readonly runtimeFolder: string;
  readonly tls?: ServerTlsOptions | undefined;
  readonly maxBlockSize?: number | undefined;
  readonly maxRequests?: number | undefined;
  /** To what the one disk is mapped, beside being served. */
  readonly attach?: AttachRequest | undefined;
}

export type AttachRequest =
  /** `/dev/nbd0`, or `auto` for the first free one. */
  | { readonly kind: 'device'; readonly device: string }
  /** A folder; `partition` is its number, or `GROUP/NAME` of a logical volume. */
  | { readonly kind: 'mount'; readonly target: string; readonly partition?: string | undefined };

export type MapEvent =
  | ServeEvent
  /** Something that the user should know before going on. */
  | { readonly type: 'warning'; readonly message: string };

export interface MapContext {
  readonly host: Host;
  /** Whether this process may mount. */
  readonly root: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly onEvent?: ((event: MapEvent) => void) | undefined;
  readonly onRequest?: ((request: RequestInfo) => void) | undefined;
  /** While files without checksums of their own are checked as a whole, before anything is served. */
  readonly onProgress?: OpenDiskOptions['onProgress'];
}
