// Backpressure: how many bytes of events may be held. Full means the socket is not read.

// Of two batches held, one must be filling while the other is published: waiting for half would take turns instead.
const FREE = 0.75;

export class ByteBudget {
  readonly #limit: number;
  readonly #onFull: () => void;
  readonly #onFree: () => void;
  #held = 0;
  #full = false;

  /** `onFull` when more than `limit` bytes are held, `onFree` once less than three quarters of it are. */
  constructor(limit: number, onFull: () => void, onFree: () => void) {
    this.#limit = limit;
    this.#onFull = onFull;
    this.#onFree = onFree;
  }

  get full(): boolean {
    return this.#full;
  }

  take(bytes: number): void {
    this.#held += bytes;
    if (!this.#full && this.#held > this.#limit) {
      this.#full = true;
      this.#onFull();
    }
  }

  release(bytes: number): void {
    this.#held -= bytes;
    if (this.#full && this.#held < this.#limit * FREE) {
      this.#full = false;
      this.#onFree();
    }
  }
}
