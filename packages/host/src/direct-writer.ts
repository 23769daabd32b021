import { constants } from 'node:fs';
import { type FileHandle, open, statfs } from 'node:fs/promises';
import { PAGE_BYTES } from './aligned-buffer.ts';
import { errnoOf } from './errors.ts';
import { runProgram } from './programs.ts';

/** Smaller writes are not worth their wait for the disk, in bytes. */
const LEAST = 64 << 10;
/**
 * File systems on which this is known to be right and to pay, by `statfs`: ext4 (and 2, 3), XFS. Others compress or
 * checksum in the page cache (btrfs, ZFS), or have none (tmpfs).
 */
const FILE_SYSTEMS: ReadonlySet<number> = new Set([0xef53, 0x58465342]);

/**
 * Writes to a file past the page cache (O_DIRECT): no copy of the data, nothing left over for the sync but the disk's own
 * cache, and what the host has cached for its VMs stays. Only whole pages at whole pages; the rest goes the usual
 * way, and so does all of it where the system turns out not to take such writes.
 */
export class DirectWriter {
  readonly #handle: FileHandle;
  #refused = false;

  private constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  /** For a file that is open for writing; undefined where its file system is none of those. */
  static async open({ fd }: FileHandle): Promise<DirectWriter | undefined> {
    // The open file itself, whatever its name is by now.
    const path = `/proc/self/fd/${fd}`;
    try {
      if (!FILE_SYSTEMS.has((await statfs(path)).type)) return undefined;
      return new DirectWriter(await open(path, constants.O_WRONLY | constants.O_DIRECT));
    } catch {
      return undefined;
    }
  }

  /** Whether such a write can be tried. Where the memory lies only the system can tell. */
  takes(data: Uint8Array, position: number): boolean {
    const whole = (value: number): boolean => value % PAGE_BYTES === 0;
    return !this.#refused && data.length >= LEAST && [data.length, data.byteOffset, position].every(whole);
  }

  /** Writes as much as the system takes; returns how many bytes that were: fewer leave the rest to the usual way. */
  async write(data: Uint8Array, position: number): Promise<number> {
    try {
      let done = 0;
      do {
        const { bytesWritten } = await this.#handle.write(data, done, data.length - done, position + done);
        if (bytesWritten === 0) break;
        done += bytesWritten;
      } while (done < data.length && done % PAGE_BYTES === 0);
      return done;
    } catch (error) {
      if (errnoOf(error) !== 'EINVAL') throw error;
      this.#refused = true;
      return 0;
    }
  }

  /**
   * Has the file system give the file its blocks, as far as it can. A write that makes the file longer, or fills a hole, has it
   * for itself: the next one only begins when the disk has it, and the disk waits meanwhile.
   */
  async allocate(bytes: number): Promise<void> {
    // Node has no fallocate(2). The program writes no zeroes of its own where the file system cannot: it fails.
    const file = `/proc/${process.pid}/fd/${this.#handle.fd}`;
    await runProgram('fallocate', ['--length', String(bytes), file]).catch(() => undefined);
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}
