/** What has to be undone, last first, however far a start came. */
export class CleanUp {
  readonly #steps: (() => Promise<unknown>)[] = [];

  add(step: () => Promise<unknown>): void {
    this.#steps.push(step);
  }

  /** A step that comes after all others. */
  addLast(step: () => Promise<unknown>): void {
    this.#steps.unshift(step);
  }

  /** Does every step, also after one that fails; then rejects with the first failure. Later calls find nothing to do. */
  async run(): Promise<void> {
    const failures: unknown[] = [];
    for (const step of this.#steps.splice(0).reverse()) {
      await step().catch((error: unknown) => failures.push(error));
    }
    if (failures.length > 0) throw failures[0];
  }
}
