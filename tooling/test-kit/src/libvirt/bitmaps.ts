import { run } from '../programs.ts';

export interface Bitmap {
  readonly name: string;
  /** Bytes. */
  readonly granularity: number;
  readonly recording: boolean;
  readonly persistent: boolean;
  /** Not stored in good order: of no use any more. */
  readonly inconsistent: boolean;
  /** Dirty bytes; only known while the VM is active. */
  readonly dirty: number | null;
  readonly busy: boolean;
}

export interface BlockDevice {
  readonly qdev?: string;
  readonly inserted?: {
    readonly 'node-name'?: string;
    readonly 'dirty-bitmaps'?: readonly {
      readonly name?: string;
      readonly granularity: number;
      readonly recording: boolean;
      readonly persistent: boolean;
      readonly inconsistent?: boolean;
      readonly count: number;
      readonly busy: boolean;
    }[];
  };
}

/** From the answer to `query-block`; `alias` names the device. */
export function bitmapsOfNodes(devices: readonly BlockDevice[], alias: string): Bitmap[] {
  const device = devices.find(({ qdev }) => qdev?.split('/').includes(alias));
  return (device?.inserted?.['dirty-bitmaps'] ?? []).map((bitmap) => ({
    name: bitmap.name ?? '',
    granularity: bitmap.granularity,
    recording: bitmap.recording,
    persistent: bitmap.persistent,
    inconsistent: bitmap.inconsistent === true,
    dirty: bitmap.count,
    busy: bitmap.busy,
  }));
}

interface ImageInfo {
  readonly 'format-specific'?: {
    readonly data?: {
      readonly bitmaps?: readonly { readonly name: string; readonly granularity: number; readonly flags: string[] }[];
    };
  };
}

/** From `qemu-img info`. */
export async function bitmapsOfImage(path: string): Promise<Bitmap[]> {
  const { stdout } = await run('qemu-img', ['info', '-U', '--output=json', path]);
  const info = JSON.parse(stdout) as ImageInfo;
  return (info['format-specific']?.data?.bitmaps ?? []).map(({ name, granularity, flags }) => ({
    name,
    granularity,
    recording: flags.includes('auto'),
    persistent: true,
    inconsistent: flags.includes('in-use'),
    dirty: null,
    busy: false,
  }));
}
