// How far a transaction is published that was cut between two batches, in what Postgres sends. That stays the same whatever
// becomes of a table's key meanwhile, which decides whether an update is one event or two.
import type { LastTransaction } from "../event/progress.ts";

/** Of one transaction. */
export class MessageCount {
  readonly #cut: LastTransaction | null;
  #ordinal = 0;

  /** `cut`: where the transaction was cut; null when nothing of it is published, or where that was not recorded. */
  constructor(cut: LastTransaction | null) {
    this.#cut = cut?.message === undefined ? null : cut;
  }

  /** Of the message that was counted last, from 1. */
  get ordinal(): number {
    return this.#ordinal;
  }

  /** Whether the message that was counted last is the one at the cut. */
  get isCut(): boolean {
    return this.#ordinal === this.#cut?.message;
  }

  /** Counts a message that can be events. How many of its last ones are still to be published; Infinity for all of them. */
  next(): number {
    this.#ordinal++;
    const published = this.#cut?.message ?? 0;
    if (this.#ordinal > published) {
      return Number.POSITIVE_INFINITY;
    }
    return this.isCut ? (this.#cut?.rest ?? 0) : 0;
  }
}
