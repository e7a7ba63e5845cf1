// Where events of the daemon's own are put into the stream: between source transactions, once everything below a
// position was handed over; and who waits until they are durable.
import type { Lsn } from "../event/lsn.ts";
import type { EncodedEvent } from "../sink/encode-event.ts";

/** Makes the events at the moment they are put; each takes the next sequence. Everything up to `lsn` stands before. */
export type BuildEvents = (lsn: Lsn, nextSequence: () => number) => readonly EncodedEvent[];

export interface PlacementParts {
  /** Where the stream is when this run begins. */
  readonly from: Lsn;
  /** Whether events may be put now. */
  readonly ready: () => boolean;
  readonly nextSequence: () => number;
  readonly placed: (events: readonly EncodedEvent[]) => void;
}

interface Waiting {
  readonly after: Lsn;
  readonly build: BuildEvents;
  readonly durable: PromiseWithResolvers<void>;
}

export class Placements {
  readonly #parts: PlacementParts;
  #position: Lsn;
  #waiting: Waiting[] = [];
  #placed: { readonly sequence: number; readonly durable: PromiseWithResolvers<void> }[] = [];
  #ended: Error | null = null;

  constructor(parts: PlacementParts) {
    this.#parts = parts;
    this.#position = parts.from;
  }

  /** Everything that ends at or below it was handed over. */
  passed(lsn: Lsn): void {
    if (lsn > this.#position) {
      this.#position = lsn;
    }
  }

  /** Resolves once the events are durable, at once when there are none; rejects when the run ends before. */
  place(after: Lsn, build: BuildEvents): Promise<void> {
    const durable = Promise.withResolvers<void>();
    if (this.#ended === null) {
      this.#waiting.push({ after, build, durable });
    } else {
      durable.reject(this.#ended);
    }
    return durable.promise;
  }

  /** Puts what can be put now. */
  settle(): void {
    if (this.#waiting.length === 0 || !this.#parts.ready()) {
      return;
    }
    const due = this.#waiting.filter(({ after }) => after <= this.#position);
    this.#waiting = this.#waiting.filter(({ after }) => after > this.#position);
    for (const { build, durable } of due) {
      const events = build(this.#position, this.#parts.nextSequence);
      this.#parts.placed(events);
      if (events.length === 0) {
        durable.resolve();
      } else {
        this.#placed.push({ sequence: events.at(-1)!.sequence, durable });
      }
    }
  }

  /** Everything up to this sequence is durable. */
  published(sequence: number): void {
    while (this.#placed.length > 0 && this.#placed[0]!.sequence <= sequence) {
      this.#placed.shift()!.durable.resolve();
    }
  }

  /** The run is over: whoever waits is told. */
  end(): void {
    this.#ended ??= new Error("The run has ended.");
    for (const { durable } of [...this.#waiting.splice(0), ...this.#placed.splice(0)]) {
      durable.reject(this.#ended);
    }
  }
}
