interface Waiter {
  owner: ConnectionBudget;
  bytes: number;
  grant: () => void;
  refuse: (reason: unknown) => void;
}

/**
 * Bounds the memory of all connections together. A connection that holds nothing always gets what it asks for (one piece),
 * so clients that are slow to take their replies can use up what is shared, but never bring others to a halt.
 */
export class Budget {
  readonly #total: number;
  readonly #perConnection: number;
  #used = 0;
  #waiters: Waiter[] = [];

  /** @param total bytes that all share; with c connections at most total + c pieces are in use */
  constructor(total: number, perConnection: number) {
    this.#total = total;
    this.#perConnection = perConnection;
  }

  get used(): number {
    return this.#used;
  }

  connection(): ConnectionBudget {
    return new ConnectionBudget(this);
  }

  /** @internal */
  acquire(owner: ConnectionBudget, bytes: number): Promise<void> | undefined {
    if (!this.#waiters.some((waiter) => waiter.owner === owner) && this.#fits(owner, bytes)) {
      this.#take(owner, bytes);
      return undefined;
    }
    return new Promise((grant, refuse) => this.#waiters.push({ owner, bytes, grant, refuse }));
  }

  /** @internal */
  release(owner: ConnectionBudget, bytes: number): void {
    this.#used -= bytes;
    owner.held -= bytes;
    if (this.#waiters.length === 0) return;
    // In order, but who has to wait holds up only requests of the same connection.
    const behind = new Set<ConnectionBudget>();
    const granted = new Set<Waiter>();
    for (const waiter of this.#waiters) {
      if (behind.has(waiter.owner)) continue;
      if (this.#fits(waiter.owner, waiter.bytes)) {
        this.#take(waiter.owner, waiter.bytes);
        granted.add(waiter);
      } else {
        behind.add(waiter.owner);
      }
    }
    if (granted.size === 0) return;
    this.#waiters = this.#waiters.filter((waiter) => !granted.has(waiter));
    for (const waiter of granted) waiter.grant();
  }

  /** @internal */
  giveUp(owner: ConnectionBudget, reason: unknown): void {
    const gone = this.#waiters.filter((waiter) => waiter.owner === owner);
    this.#waiters = this.#waiters.filter((waiter) => waiter.owner !== owner);
    for (const waiter of gone) waiter.refuse(reason);
  }

  #fits(owner: ConnectionBudget, bytes: number): boolean {
    if (owner.held === 0) return true;
    return owner.held + bytes <= this.#perConnection && this.#used + bytes <= this.#total;
  }

  #take(owner: ConnectionBudget, bytes: number): void {
    this.#used += bytes;
    owner.held += bytes;
  }
}

/** One connection's share of the {@link Budget}. */
export class ConnectionBudget {
  /** @internal */
  held = 0;
  readonly #budget: Budget;

  /** @internal */
  constructor(budget: Budget) {
    this.#budget = budget;
  }

  /** @returns undefined where the bytes are there at once, so that the caller need not wait for a turn */
  acquire(bytes: number): Promise<void> | undefined {
    return this.#budget.acquire(this, bytes);
  }

  release(bytes: number): void {
    this.#budget.release(this, bytes);
  }

  /** Refuses all that wait; what is held is still released by its holders. */
  giveUp(reason: unknown): void {
    this.#budget.giveUp(this, reason);
  }
}
