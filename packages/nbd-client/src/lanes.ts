import { NBD_CMD_READ, NBD_CMD_WRITE, NBD_FLAG_CAN_MULTI_CONN } from '@virtnbd/nbd-protocol';
import type { NbdAddress } from './address.ts';
import { NbdError } from './errors.ts';
import type { Session } from './handshake.ts';
import { Link } from './link.ts';
import type { Extents, OperationInput } from './operation.ts';
import type { ConnectOptions, RequestOptions } from './options.ts';
import { PartTarget } from './read-target.ts';

/** What a longer read or write is split into where several connections share it. */
const LANE_PIECE = 2 * 1024 * 1024;
const MAX_CONNECTIONS = 16;

/** The connections of one client: one, or several where the server keeps them coherent (NBD_FLAG_CAN_MULTI_CONN). */
export class Lanes {
  readonly #links: readonly Link[];

  private constructor(links: readonly Link[]) {
    this.#links = links;
  }

  /** The first connection tells whether more may follow. */
  static async open(address: NbdAddress, options: ConnectOptions): Promise<Lanes> {
    const { connections = 1 } = options;
    if (!Number.isInteger(connections) || connections < 1 || connections > MAX_CONNECTIONS) {
      throw new NbdError('USAGE', `${connections} connections: 1 to ${MAX_CONNECTIONS} are possible`);
    }
    const first = await Link.open(address, options);
    const more = (first.session.flags & NBD_FLAG_CAN_MULTI_CONN) !== 0 && !('stream' in address) ? connections - 1 : 0;
    const opened = await Promise.allSettled(Array.from({ length: more }, () => openLike(first, address, options)));
    const failed = opened.find((result) => result.status === 'rejected');
    const links = [first, ...opened.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))];
    if (failed === undefined) return new Lanes(links);
    for (const link of links) link.destroy(new NbdError('CLOSED', 'another connection to the NBD server failed'));
    throw failed.reason;
  }

  get session(): Session {
    return this.#pick().session;
  }

  get count(): number {
    return this.#links.length;
  }

  /** @returns extents by context id, after a block-status request */
  async run(input: OperationInput, options: RequestOptions): Promise<ReadonlyMap<number, Extents>> {
    const splits = input.command === NBD_CMD_READ || input.command === NBD_CMD_WRITE;
    if (!splits || this.#links.length === 1 || input.length <= LANE_PIECE || input.piece > LANE_PIECE) {
      return (await this.#pick().run(input, options)).status;
    }
    const parts = [...cut(input)].map((part) => this.#pick().run(part, options));
    // All of them end before this does: a later one must not use a buffer that was given back.
    const failed = (await Promise.allSettled(parts)).find((part) => part.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
    return new Map();
  }

  async close(): Promise<void> {
    await Promise.all(this.#links.map((link) => link.close()));
  }

  destroy(reason: NbdError): void {
    for (const link of this.#links) link.destroy(reason);
  }

  /** The connection with the least to do; one that is lost only where all are. */
  #pick(): Link {
    const [only] = this.#links;
    if (only !== undefined && this.#links.length === 1) return only;
    const alive = this.#links.filter((link) => link.alive);
    const [first, ...others] = alive.length > 0 ? alive : this.#links;
    if (first === undefined) throw new Error('no connection');
    return others.reduce((best, link) => (link.load < best.load ? link : best), first);
  }
}

async function openLike(first: Link, address: NbdAddress, options: ConnectOptions): Promise<Link> {
  const link = await Link.open(address, options);
  if (JSON.stringify(link.session) === JSON.stringify(first.session)) return link;
  link.destroy(new NbdError('CLOSED', 'not the same export'));
  throw new NbdError('HANDSHAKE', 'the NBD server tells another size or other flags on a second connection');
}

/** Parts of a read or write on a grid of {@link LANE_PIECE}. */
function* cut(input: OperationInput): Generator<OperationInput, void, void> {
  for (let at = 0; at < input.length; ) {
    const length = Math.min(input.length - at, LANE_PIECE - ((input.offset + at) % LANE_PIECE));
    yield {
      ...input,
      offset: input.offset + at,
      length,
      ...(input.data !== undefined && { data: input.data.subarray(at, at + length) }),
      ...(input.target !== undefined && { target: new PartTarget(input.target, at) }),
    };
    at += length;
  }
}
