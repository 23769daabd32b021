import { SshConnection } from './ssh-connection.ts';

/**
 * Programs that one connection is given at a time. An OpenSSH server opens ten sessions on one (MaxSessions) unless it is
 * told otherwise, and refuses the next; file transfer and libvirt's own connections take some of the first one's.
 */
const PLACES = 5;

/** Room for one program on a connection, until it is given back. */
export interface ProgramPlace {
  readonly connection: SshConnection;
  free(): void;
}

/**
 * The connections that programs run over: the first one, and when that has as many as it bears, more of the same kind. They
 * stay open, for the programs to come, as long as the first one does.
 */
export class ProgramPlaces {
  readonly #first: SshConnection;
  readonly #used: { readonly connection: Promise<SshConnection>; programs: number }[];
  readonly #lost = new AbortController();
  #closing: Promise<void> | undefined;

  constructor(first: SshConnection) {
    this.#first = first;
    this.#used = [{ connection: Promise.resolve(first), programs: 0 }];
    this.#watch(first);
  }

  /** Aborted, with a HostError LINK_LOST as its reason, when any of the connections is gone. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** @throws HostError as {@link SshConnection.open} */
  async take(signal?: AbortSignal): Promise<ProgramPlace> {
    // Never made again in silence.
    this.#lost.signal.throwIfAborted();
    let place = this.#used.find(({ programs }) => programs < PLACES);
    if (place === undefined) {
      place = { connection: this.#open(signal), programs: 0 };
      this.#used.push(place);
    }
    const taken = place;
    taken.programs += 1;
    try {
      return { connection: await taken.connection, free: () => (taken.programs -= 1) };
    } catch (error) {
      // Others may have waited for the same one.
      if (this.#used.includes(taken)) this.#used.splice(this.#used.indexOf(taken), 1);
      throw error;
    }
  }

  /** Ends all connections and all that goes over them. May be called again. */
  close(): Promise<void> {
    this.#closing ??= (async () => {
      const opened = await Promise.allSettled(this.#used.map(({ connection }) => connection));
      await Promise.all(opened.map(async (each) => each.status === 'fulfilled' && (await each.value.close())));
    })();
    return this.#closing;
  }

  async #open(signal: AbortSignal | undefined): Promise<SshConnection> {
    const connection = await SshConnection.open(this.#first.target, { signal });
    this.#watch(connection);
    return connection;
  }

  #watch({ lost }: SshConnection): void {
    lost.addEventListener('abort', () => this.#lost.abort(lost.reason), { once: true });
  }
}
