/**
 * A host: where programs run and backup files lie. Everything above this package reaches files and programs through
 * these interfaces, so that another implementation (behind ssh, for instance) can stand in: nothing here shows a file
 * descriptor, an inode or a child process object.
 */
export interface Host {
  readonly files: HostFiles;
  /** What messages call it: `user@host`; empty for this machine. */
  readonly name: string;

  /**
   * Runs a program to its end. It gets its arguments as they are (no shell) and `LC_ALL=C`.
   *
   * @throws HostError PROGRAM_MISSING, PROGRAM_FAILED (exit code not 0, or ended by a signal), TIMEOUT, OUTPUT_LIMIT
   * @throws the signal's reason, once the program is gone (SIGTERM, after 5 s SIGKILL)
   */
  run(program: string, args: readonly string[], options?: RunOptions): Promise<ProgramOutput>;

  /**
   * Starts a program that stays, a server for instance, without a shell, with `LC_ALL=C` and in a process group of its
   * own, so that Ctrl-C on the terminal does not reach it. Resolves when it runs. It is ended with this process,
   * also when that is killed by SIGKILL (where the host has util-linux's setpriv).
   */
  start(program: string, args: readonly string[], options?: StartOptions): Promise<RunningProgram>;

  /**
   * Resolves when a server listens on the unix socket `path`. It never connects: some servers end with their first
   * client.
   *
   * @throws HostError TIMEOUT (default 30 s), PROGRAM_FAILED as soon as `program` has ended, BAD_NAME for a path that
   *   is longer than a unix socket's may be
   */
  waitForSocket(path: string, options?: WaitForSocketOptions): Promise<void>;

  /**
   * A way from this machine to a unix socket of the host, for whoever connects to it: the socket itself, or one here that
   * leads there. It may be used any number of times until it is closed.
   *
   * @throws HostError BAD_NAME
   */
  route(path: string): Promise<SocketRoute>;

  /** Who this process is, for a lock file. */
  identity(): Promise<HostIdentity>;

  /**
   * Whether the process that wrote `other` still runs. A pid counts only with its start time, so that a reused pid is
   * not taken for the same process. `'unknown'` on another host, or when the system does not tell.
   */
  isAlive(other: HostIdentity): Promise<boolean | 'unknown'>;
}

export interface RunOptions {
  signal?: AbortSignal | undefined;
  /** Milliseconds; no limit when absent. */
  timeoutMs?: number | undefined;
  /** Given to the program's standard input, which is otherwise empty. */
  input?: Uint8Array | string | undefined;
  /** Most bytes of standard output to accept, default 16 MiB. Of standard error the last 64 KiB are kept. */
  maxOutput?: number | undefined;
  /** Added to this process's environment; undefined removes a variable. */
  env?: Readonly<Record<string, string | undefined>> | undefined;
}

export interface ProgramOutput {
  stdout: string;
  stderr: string;
}

export interface StartOptions {
  /** Stops the program when aborted; `exited` then resolves as usual. */
  signal?: AbortSignal | undefined;
  env?: Readonly<Record<string, string | undefined>> | undefined;
  /**
   * When this process dies the program is killed, not told to end: for one that only reads, and loses SIGTERM while it
   * starts, as qemu-nbd does. On this machine only.
   */
  killedWithParent?: boolean | undefined;
}

export interface ProgramExit {
  /** null when a signal ended it. */
  code: number | null;
  signal: string | null;
  /** True when we asked for its end (stop, abort); false when it ended by itself, a crash for a server. */
  stopped: boolean;
}

export interface RunningProgram {
  readonly program: string;
  readonly pid: number;
  /** Resolves when the program has ended; never rejects. */
  readonly exited: Promise<ProgramExit>;
  /** SIGTERM, after 5 s SIGKILL, to the program and what it started. Resolves when it is gone; may be called again. */
  stop(): Promise<void>;
  /** The last 64 KiB of its standard error. */
  stderr(): string;
}

export interface WaitForSocketOptions {
  signal?: AbortSignal | undefined;
  timeoutMs?: number | undefined;
  program?: RunningProgram | undefined;
}

export interface SocketRoute extends AsyncDisposable {
  /** A unix socket on this machine. */
  readonly path: string;
  close(): Promise<void>;
}

export interface HostIdentity {
  hostname: string;
  /** Changes at every start of the system. */
  bootId: string;
  pid: number;
  /** When the process started, in clock ticks since the boot (/proc/PID/stat, field 22). */
  startTime: number;
  /** Digest of the machine's id: tells two machines of one name apart. */
  machine?: string;
  /** The pid namespace: a pid means nothing in another container. */
  pidNamespace?: string;
}

/**
 * `create`: the file must not exist, mode 0600. `append-new`: appends, and creates the file (0600) when absent. `claim`:
 * `read-write`, of a block device that nobody else has claimed, by mounting it for instance, nor can as long as it is open
 * (HostError with errno EBUSY).
 */
export type OpenMode = 'read' | 'create' | 'append-new' | 'read-write' | 'claim';

export interface OpenOptions {
  /**
   * Where it can, the host writes large pieces past its page cache: those of whole pages of 4 KiB, at a multiple of that,
   * from memory of `alignedBuffer`. A wish: whatever else is written, or another host, or its file system, goes the usual way.
   */
  readonly direct?: boolean;
}

/**
 * Files of a host. Paths are used as they are: spaces, brackets, quotes, newlines and unicode have no meaning. Every
 * failure is a HostError that names the path and, where there is one, the system's errno. Symbolic links are followed
 * except where a call creates, replaces, renames or removes: that is done to the link's own name.
 */
export interface HostFiles {
  /** Opens a regular file or a block device (for writing also a character device); refuses the rest, without hanging. */
  open(path: string, mode: OpenMode, options?: OpenOptions): Promise<HostFile>;
  /** The whole of a regular file of at most `maxBytes`. @throws HostError TOO_LARGE, WRONG_KIND, NOT_FOUND … */
  readSmall(path: string, maxBytes: number): Promise<Uint8Array>;
  /**
   * Writes a file that appears complete or not at all, also after a crash: temporary file in the same folder, fsync,
   * rename, fsync of the folder. Any failure before the rename removes the temporary file.
   *
   * @param options.mode default 0600, not changed by the umask
   * @param options.replace default true; false: HostError EXISTS when the name is taken
   */
  writeAtomic(path: string, data: Uint8Array | string, options?: { mode?: number; replace?: boolean }): Promise<void>;
  /** As writeAtomic, but says false, and changes nothing, when the name is taken. Of several callers one gets true. */
  createExclusive(path: string, data: Uint8Array | string): Promise<boolean>;
  /** The folder's entries, sorted by name, links not followed. */
  list(path: string): Promise<DirectoryEntry[]>;
  /** null when there is nothing, also when a link leads nowhere. */
  stat(path: string): Promise<FileStat | null>;
  /** Mode 0700 unless given. With `recursive`, missing parents are made too (same mode) and an existing folder is fine. */
  makeFolder(path: string, options?: { mode?: number; recursive?: boolean }): Promise<void>;
  /** Makes a new folder of mode 0700 named `prefix` and six random characters; returns its path. */
  makeTempFolder(parent: string, prefix: string): Promise<string>;
  /**
   * Renames a file or folder in its file system; the folder is not synced (syncFolder). Without `replace: true` an
   * existing `to` is never overwritten: HostError EXISTS. See LocalHost for how.
   */
  rename(from: string, to: string, options?: { replace?: boolean }): Promise<void>;
  /** Removes a file or link; no error when absent. */
  remove(path: string): Promise<void>;
  /** Removes a folder, with `recursive` and all that is in it; no error when absent. */
  removeFolder(path: string, options?: { recursive?: boolean }): Promise<void>;
  /** Makes creations, renames and removals in the folder last through a crash. */
  syncFolder(path: string): Promise<void>;
  chmod(path: string, mode: number): Promise<void>;
  /** Bytes that this user may still write on the file system of `path`, which must exist. */
  freeSpace(path: string): Promise<number>;
  /** Copies a regular file; `to` (mode 0600) appears complete and synced, or not at all. HostError EXISTS when taken. */
  copy(from: string, to: string, options?: { signal?: AbortSignal | undefined }): Promise<void>;
}

export type EntryKind = 'file' | 'folder' | 'link' | 'block' | 'other';

export interface DirectoryEntry {
  name: string;
  kind: EntryKind;
}

export interface FileStat {
  kind: EntryKind;
  /** Bytes; 0 for a device (HostFile.size knows). */
  size: number;
  /** Permission bits. */
  mode: number;
  /** Milliseconds since 1970. */
  modified: number;
  uid: number;
  gid: number;
}

/** An open file. Offsets and lengths are bytes. */
export interface HostFile extends AsyncDisposable {
  readonly path: string;
  /** The present size, of a block device too. */
  size(): Promise<number>;
  /** Fills all of `buffer`, or HostError SHORT_READ. Many reads may be under way. */
  read(offset: number, buffer: Uint8Array): Promise<void>;
  /**
   * Appends all chunks, whole and in order; overlapping calls are done in the order of the calls. The buffers may be
   * used again once it resolves. After a failed write every later one fails: what lies at the end is not known.
   */
  write(chunks: readonly Uint8Array[]): Promise<void>;
  /** Writes all of `data` at `offset`. Not for `append-new`. */
  writeAt(offset: number, data: Uint8Array): Promise<void>;
  /** Resolves when all that was written is on the disk. */
  sync(): Promise<void>;
  truncate(size: number): Promise<void>;
  /**
   * Where large writes to it are direct: has the file system give it the blocks of its first so many bytes, and makes it so
   * long, before they are written; the writes need not wait for one another then. It is a matter of speed: where that cannot be
   * nothing happens, and it is for the writes to tell that there is no space.
   */
  allocate?(bytes: number): Promise<void>;
  /** Waits for what is under way. May be called again. */
  close(): Promise<void>;
}

/** Takes bytes and keeps none of them: standard output, for instance. */
export interface ByteSink {
  /** Resolves when the system has taken all of `bytes`, which may be used again then. Calls are done in their order. */
  write(bytes: Uint8Array): Promise<void>;
  /** Resolves when all that was written has left this process; of a file, when it is on the disk. */
  finish(): Promise<void>;
  /** Gives up: what was not taken yet is dropped, and nothing waits for it. */
  abandon(): void;
}
