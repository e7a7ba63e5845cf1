// The last half hour in numbers, for the dashboard's curves: one sample every two seconds, in memory.

/** What is remembered of a moment; null is what was not known. */
export interface Moment {
  readonly lagBytes: number | null;
  readonly lagSeconds: number | null;
  /** Published since the start. */
  readonly events: number;
  readonly bytes: number;
  /** WAL that the slot keeps. */
  readonly retainedBytes: number | null;
}

/** `[Unix seconds, lagBytes, lagSeconds, events, bytes, retainedBytes]`. */
export type Point = readonly [number, number | null, number | null, number, number, number | null];

const EVERY_MS = 2_000;
const KEPT = 900;

export class History {
  readonly #sample: () => Moment;
  readonly #timer: NodeJS.Timeout;
  readonly #points: Point[] = [];

  constructor(sample: () => Moment) {
    this.#sample = sample;
    this.#timer = setInterval(() => this.look(), EVERY_MS).unref();
  }

  look(): void {
    const { lagBytes, lagSeconds, events, bytes, retainedBytes } = this.#sample();
    // Goes on evenly whatever happens to the wall clock, so that curves have no folds.
    const now = Math.round(performance.timeOrigin + performance.now()) / 1000;
    this.#points.push([now, lagBytes, lagSeconds, events, bytes, retainedBytes]);
    if (this.#points.length > KEPT) {
      this.#points.shift();
    }
  }

  /** Points later than that, oldest first; at most half an hour of them. */
  after(unixSeconds: number): { readonly everySeconds: number; readonly points: readonly Point[] } {
    const points = this.#points.filter(([at]) => at > unixSeconds);
    return { everySeconds: EVERY_MS / 1000, points };
  }

  close(): void {
    clearInterval(this.#timer);
  }
}
