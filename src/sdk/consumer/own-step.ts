// Tells whether code was called by a step of the consumer, where waiting for the consumer's end would wait for itself.
import { AsyncLocalStorage } from "node:async_hooks";

export class OwnStep {
  readonly #current = new AsyncLocalStorage<{ isOver: boolean }>();

  async run<T>(step: () => Promise<T>): Promise<T> {
    // What a handler leaves behind, a timer for example, inherits the storage but no longer holds the step up.
    const mark = { isOver: false };
    try {
      return await this.#current.run(mark, step);
    } finally {
      mark.isOver = true;
    }
  }

  /** True in the step that is under way, and in everything it called, across awaits. */
  get isInside(): boolean {
    return this.#current.getStore()?.isOver === false;
  }
}
