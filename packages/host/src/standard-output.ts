import { fstat, fsync, write } from 'node:fs';
import { Socket } from 'node:net';
import { isatty } from 'node:tty';
import { promisify } from 'node:util';
import { errnoOf, fileError, HostError } from './errors.ts';
import type { ByteSink } from './host.ts';

const STDOUT = 1;
const NAME = 'standard output';

/**
 * This process's standard output, for data: a pipe, a socket, a file or a device such as /dev/null.
 *
 * @throws HostError WRONG_KIND when it is a terminal, CLOSED when there is none
 */
export async function openStandardOutput(): Promise<ByteSink> {
  if (isatty(STDOUT)) {
    const text = `${NAME} is a terminal; send the data on to a program or a file: -o - | ssh host 'cat > backup.zip'`;
    throw new HostError('WRONG_KIND', text, { path: NAME });
  }
  const stats = await promisify(fstat)(STDOUT).catch((error: unknown) => {
    throw fileError(error, 'cannot use', NAME);
  });
  return stats.isFIFO() || stats.isSocket() ? new PipeOutput() : new FileOutput(stats.isFile());
}

/** A pipe is written through the event loop: one that is full holds up nothing but its writer. */
class PipeOutput implements ByteSink {
  /** Not process.stdout, which cannot be destroyed: what a stalled reader has not taken would keep the process for ever. */
  readonly #stream = new Socket({ fd: STDOUT, readable: false, writable: true });
  #failure: HostError | undefined;

  constructor() {
    this.#stream.on('error', (error) => {
      this.#failure ??= brokenPipe(error);
    });
  }

  write(bytes: Uint8Array): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      this.#stream.write(bytes, (error) => {
        if (!error) return resolve();
        this.#failure ??= brokenPipe(error);
        reject(this.#failure);
      });
    });
  }

  async finish(): Promise<void> {
    await this.write(new Uint8Array(0));
  }

  abandon(): void {
    this.#stream.destroy();
  }
}

/** Written in libuv's threads: process.stdout would stop the whole process for as long as the disk takes. */
class FileOutput implements ByteSink {
  readonly #isFile: boolean;
  #last: Promise<void> = Promise.resolve();

  constructor(isFile: boolean) {
    this.#isFile = isFile;
  }

  write(bytes: Uint8Array): Promise<void> {
    const done = this.#last.then(() => writeAll(bytes));
    this.#last = done;
    done.catch(() => undefined);
    return done;
  }

  async finish(): Promise<void> {
    await this.#last;
    if (!this.#isFile) return;
    await promisify(fsync)(STDOUT).catch((error: unknown) => {
      throw fileError(error, 'cannot sync', NAME);
    });
  }

  abandon(): void {}
}

async function writeAll(bytes: Uint8Array): Promise<void> {
  try {
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await promisify(write)(STDOUT, bytes, done, bytes.length - done, null);
      done += bytesWritten;
    }
  } catch (error) {
    throw fileError(error, 'cannot write to', NAME);
  }
}

function brokenPipe(error: unknown): HostError {
  const errno = errnoOf(error);
  if (errno !== 'EPIPE' && errno !== 'ECONNRESET') return fileError(error, 'cannot write to', NAME);
  const text = `the program that reads ${NAME} has ended before it had everything; what it wrote is not complete`;
  return new HostError('PIPE_CLOSED', text, { path: NAME, errno, cause: error });
}
