import { SessionRefused } from './session-refused.ts';
import { SshConnection } from './ssh-connection.ts';

/**
 * Programs that one connection is given at a time. An OpenSSH server opens ten sessions on one (MaxSessions) unless it is
 * told otherwise; file transfer and libvirt's own connections take some of the first one's.
 */
const PLACES = 4;

interface Carrier {
  readonly connection: Promise<SshConnection>;
  programs: number;
  /** As many as it bears: fewer than there are places, once the server has refused one. */
  most: number;
}

/**
 * The connections that programs run over: the first one, and when that has as many as it bears, more of the same kind. They
 * stay open, for the programs to come, as long as the first one does.
 */
export class ProgramPlaces {
  readonly #first: SshConnection;
  readonly #carriers: Carrier[];
  readonly #lost = new AbortController();
  #closing: Promise<void> | undefined;

  constructor(first: SshConnection) {
    this.#first = first;
    this.#carriers = [{ connection: Promise.resolve(first), programs: 0, most: PLACES }];
    this.#watch(first);
  }

  /** Aborted, with a HostError LINK_LOST as its reason, when any of the connections is gone. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /**
   * Begins a program on a connection that has room for it.
   *
   * @param begin called again, with another connection, where the server refuses
   * @returns what `begin` gave, and how to give the place back
   * @throws HostError as {@link SshConnection.open}; LIMIT where the server lets no program run on a connection
   */
  async place<T>(
    signal: AbortSignal | undefined,
    begin: (connection: SshConnection) => Promise<T>,
  ): Promise<{ begun: T; free: () => void }> {
    for (;;) {
      // Never made again in silence.
      this.#lost.signal.throwIfAborted();
      const carrier = this.#carriers.find(({ programs, most }) => programs < most) ?? this.#add(signal);
      carrier.programs += 1;
      const free = (): void => {
        carrier.programs -= 1;
      };
      try {
        return { begun: await begin(await carrier.connection), free };
      } catch (error) {
        free();
        if (!(error instanceof SessionRefused)) throw error;
        carrier.most = Math.min(carrier.most, carrier.programs);
        if (carrier.most === 0 && (await carrier.connection) !== this.#first) throw error;
      }
    }
  }

  /** Ends all connections and all that goes over them. May be called again. */
  close(): Promise<void> {
    this.#closing ??= (async () => {
      const opened = await Promise.allSettled(this.#carriers.map(({ connection }) => connection));
      await Promise.all(opened.map(async (each) => each.status === 'fulfilled' && (await each.value.close())));
    })();
    return this.#closing;
  }

  #add(signal: AbortSignal | undefined): Carrier {
    const connection = SshConnection.open(this.#first.target, { signal });
    const carrier = { connection, programs: 0, most: PLACES };
    this.#carriers.push(carrier);
    connection.then(
      (opened) => this.#watch(opened),
      // Whoever waits for it hears why; the next one tries anew.
      () => this.#carriers.splice(this.#carriers.indexOf(carrier), 1),
    );
    return carrier;
  }

  #watch({ lost }: SshConnection): void {
    lost.addEventListener('abort', () => this.#lost.abort(lost.reason), { once: true });
  }
}
