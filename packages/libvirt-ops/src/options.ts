export interface OpenOptions {
  /** Only look: libvirt refuses every change. */
  readonly readOnly?: boolean;
  /** Answers for a daemon that asks for a user and a password. */
  readonly auth?: { readonly user?: string; readonly password?: string };
  /** Milliseconds for connecting, default 30 000; 0 for no limit. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** What a connection was opened with. Plain data: it can be sent to another process. */
export interface ConnectionAddress {
  readonly uri: string;
  readonly auth?: NonNullable<OpenOptions['auth']>;
}

export interface AbortJobOptions {
  /** Milliseconds to wait for the job's end, default 30 000. */
  readonly timeoutMs?: number;
  /** Ends the waiting; the job has been told to end. */
  readonly signal?: AbortSignal;
}

export interface CheckpointInfo {
  readonly name: string;
  readonly parent: string | null;
  /** Seconds since 1970, UTC. */
  readonly creationTime: number;
  /** Its XML without the domain's; enough to redefine it. */
  readonly xml: string;
}
