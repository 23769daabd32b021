import { open, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { TestKitError } from '../errors.ts';
import { giveToDaemon } from '../identity.ts';
import type { DiskBus } from './domain-xml.ts';
import type { VirshSession } from './virsh-session.ts';

/** One change of a disk through its device. Offsets and lengths in bytes. */
export type DiskOperation =
  | {
      readonly kind: 'write';
      readonly target: string;
      readonly offset: number;
      readonly length: number;
      readonly pattern: number;
    }
  | { readonly kind: 'buffer'; readonly target: string; readonly offset: number; readonly bytes: Uint8Array }
  | {
      readonly kind: 'zero';
      readonly target: string;
      readonly offset: number;
      readonly length: number;
      readonly unmap?: boolean;
    }
  | { readonly kind: 'discard'; readonly target: string; readonly offset: number; readonly length: number };

export interface AttachedDisk {
  readonly bus: DiskBus;
  readonly alias: string;
}

/** qemu-io takes lengths up to this (BDRV_REQUEST_MAX_BYTES, rounded down). */
const LARGEST_REQUEST = 1 << 30;

/** What qemu finds by `qemu-io -d`: the id of the device, or for virtio-blk the object behind the proxy. */
function deviceName(disk: AttachedDisk): string {
  return disk.bus === 'virtio' ? `/machine/peripheral/${disk.alias}/virtio-backend` : disk.alias;
}

/**
 * Writes to the disks of a running or paused VM as a guest would: through the device, so that dirty bitmaps and open backup
 * jobs see it. The monitor's `qemu-io` prints its result to qemu's standard output, which is the VM's log, not to the
 * monitor: the log is read for it, or a failed write would pass for a good one.
 */
export class DiskWriter {
  private readonly session: VirshSession;
  private readonly uuid: string;
  private readonly logFile: string;
  private readonly folder: string;
  private queue: Promise<unknown> = Promise.resolve();
  private files = 0;

  constructor(session: VirshSession, vm: { uuid: string; logFile: string; folder: string }) {
    this.session = session;
    this.uuid = vm.uuid;
    this.logFile = vm.logFile;
    this.folder = vm.folder;
  }

  apply(operations: readonly DiskOperation[], disks: ReadonlyMap<string, AttachedDisk>): Promise<void> {
    const result = this.queue.then(() => this.applyNow(operations, disks));
    this.queue = result.catch(() => {});
    return result;
  }

  /** Brings qemu's caches (qcow2 tables too) into the image files. */
  flush(disks: ReadonlyMap<string, AttachedDisk>): Promise<void> {
    const result = this.queue.then(async () => {
      await this.send([...disks.values()].map((disk) => [disk, 'flush']));
    });
    this.queue = result.catch(() => {});
    return result;
  }

  private async applyNow(
    operations: readonly DiskOperation[],
    disks: ReadonlyMap<string, AttachedDisk>,
  ): Promise<void> {
    const commands: [AttachedDisk, string][] = [];
    const temporary: string[] = [];
    try {
      for (const operation of operations) {
        const disk = disks.get(operation.target);
        if (disk === undefined) throw new TestKitError('USAGE', `The running VM has no disk ${operation.target}`);
        if (operation.kind === 'buffer') {
          const file = join(this.folder, `write-${this.uuid}-${++this.files}`);
          temporary.push(file);
          await writeFile(file, operation.bytes);
          await giveToDaemon(file);
          commands.push([disk, `write -s ${file} ${operation.offset} ${operation.bytes.length}`]);
        } else {
          for (const text of commandsOf(operation)) commands.push([disk, text]);
        }
      }
      const before = await sizeOf(this.logFile);
      await this.send(commands);
      this.check(commands, await readFrom(this.logFile, before));
    } finally {
      for (const file of temporary) await rm(file, { force: true });
    }
  }

  private async send(commands: readonly (readonly [AttachedDisk, string])[]): Promise<void> {
    const outputs = await this.session.run(
      commands.map(([disk, text]) => [
        'qemu-monitor-command',
        this.uuid,
        '--hmp',
        `qemu-io -d ${deviceName(disk)} "${text}"`,
      ]),
    );
    outputs.forEach((output, i) => {
      if (output !== '') throw new TestKitError('DISK_WRITE', `${commands[i]?.[1]}: ${output}`, { output });
    });
  }

  /** The log has one line for each command that went well: `wrote 65536/65536 bytes at offset 1048576`. */
  private check(commands: readonly (readonly [AttachedDisk, string])[], log: string): void {
    const done = [...log.matchAll(/^(?:wrote|discard) (\d+)\/(\d+) bytes at offset (\d+)$/gm)];
    const good = done.filter((match) => match[1] === match[2]).length;
    if (good === commands.length) return;
    const asked = commands.map(([, text]) => text).join('; ');
    throw new TestKitError('DISK_WRITE', `qemu did ${good} of ${commands.length} (${asked}): ${log.trim()}`, {
      output: log,
    });
  }
}

function commandsOf(operation: Exclude<DiskOperation, { kind: 'buffer' }>): string[] {
  const verb = {
    write: () => `write -P ${'pattern' in operation ? operation.pattern & 0xff : 0}`,
    zero: () => ('unmap' in operation && operation.unmap === true ? 'write -z -u' : 'write -z'),
    discard: () => 'discard',
  }[operation.kind]();
  const commands: string[] = [];
  const end = operation.offset + operation.length;
  for (let offset = operation.offset; offset < end; offset += LARGEST_REQUEST) {
    commands.push(`${verb} ${offset} ${Math.min(LARGEST_REQUEST, end - offset)}`);
  }
  return commands;
}

async function sizeOf(path: string): Promise<number> {
  return (await stat(path).catch(() => null))?.size ?? 0;
}

async function readFrom(path: string, offset: number): Promise<string> {
  await using file = await open(path, 'r');
  const { size } = await file.stat();
  const buffer = Buffer.alloc(Math.max(0, size - offset));
  await file.read(buffer, 0, buffer.length, offset);
  return buffer.toString();
}
