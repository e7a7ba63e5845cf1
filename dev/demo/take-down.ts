// What was made is taken down in the reverse order, also when the making is interrupted half-way.

export class TakeDown {
  readonly #steps: (() => Promise<void>)[] = [];
  #running: Promise<void> | undefined;

  /** Throws once the taking down has begun: then nothing more may be made. */
  add(step: () => Promise<void>): void {
    if (this.#running !== undefined) throw new Error("It is being stopped.");
    this.#steps.push(step);
  }

  /** Makes something; `end` is called for it even if the end comes before it is complete. */
  async made<T>(make: () => Promise<T>, end: (made: T) => Promise<void>): Promise<T> {
    let making: Promise<T> | undefined;
    // Whoever waits for `made` has the error of the making.
    this.add(async () => making?.then(end, () => undefined));
    making = make();
    return making;
  }

  /** Runs every step, also after one that failed, and throws the first failure. */
  run(): Promise<void> {
    this.#running ??= this.#run();
    return this.#running;
  }

  async #run(): Promise<void> {
    const failures: unknown[] = [];
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      await step().catch((error: unknown) => failures.push(error));
    }
    if (failures.length > 0) throw failures[0];
  }
}
