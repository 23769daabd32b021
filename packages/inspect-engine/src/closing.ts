/** Closes what was opened, last first. (Node 22 has no AsyncDisposableStack.) */
export class Closing implements AsyncDisposable {
  #opened: AsyncDisposable[] = [];

  use<T extends AsyncDisposable>(resource: T): T {
    this.#opened.push(resource);
    return resource;
  }

  /** Leaves the closing to the result. */
  move(): Closing {
    const moved = new Closing();
    moved.#opened = this.#opened;
    this.#opened = [];
    return moved;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const failures: unknown[] = [];
    for (const resource of this.#opened.splice(0).reverse()) {
      try {
        await resource[Symbol.asyncDispose]();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}
