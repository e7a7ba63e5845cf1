// Where events of the daemon's own are put into the stream: between source transactions, once everything below a
// position was handed over; and who waits until they are durable.
import { AfterimageError } from "../errors.ts";
import type { Lsn } from "../event/lsn.ts";
import type { SnapshotState } from "../event/snapshot-state.ts";
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
  /** How far snapshots are now; as stored when this run begins. */
  readonly state: () => SnapshotState;
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
  /** Those that only changed the state, and in which revision of it. */
  #unstored: { readonly revision: number; readonly durable: PromiseWithResolvers<void> }[] = [];
  readonly #revisions = new WeakMap<SnapshotState, number>();
  #revision = 0;
  #storedRevision: number;
  #ended: Error | null = null;

  constructor(parts: PlacementParts) {
    this.#parts = parts;
    this.#position = parts.from;
    this.#storedRevision = this.#revisionOf(parts.state());
  }

  /** Everything that ends at or below it was handed over. */
  passed(lsn: Lsn): void {
    if (lsn > this.#position) {
      this.#position = lsn;
    }
  }

  /** Resolves once the events, or the state that they left, are durable; rejects when the run ends before. */
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
    for (const [at, { build, durable }] of due.entries()) {
      let events: readonly EncodedEvent[];
      try {
        events = build(this.#position, this.#parts.nextSequence);
      } catch (error) {
        // The run ends with this, but these are in no list that its end would go through.
        for (const one of due.slice(at)) {
          one.durable.reject(error);
        }
        throw error;
      }
      this.#parts.placed(events);
      if (events.length > 0) {
        this.#placed.push({ sequence: events.at(-1)!.sequence, durable });
      } else {
        this.#unstored.push({ revision: this.#revisionOf(this.#parts.state()), durable });
        this.#resolveStored();
      }
    }
  }

  /** The state that a batch is going to carry. */
  carried(): SnapshotState {
    const state = this.#parts.state();
    this.#revisionOf(state);
    return state;
  }

  /** Everything up to this sequence is durable, and so is this state. */
  published(sequence: number, state: SnapshotState): void {
    this.#storedRevision = Math.max(this.#storedRevision, this.#revisionOf(state));
    this.#resolveStored();
    while (this.#placed.length > 0 && this.#placed[0]!.sequence <= sequence) {
      this.#placed.shift()!.durable.resolve();
    }
  }

  /** A state is another object when it has changed, so their order is that in which they are seen. */
  #revisionOf(state: SnapshotState): number {
    const revision = this.#revisions.get(state) ?? ++this.#revision;
    this.#revisions.set(state, revision);
    return revision;
  }

  #resolveStored(): void {
    while (this.#unstored.length > 0 && this.#unstored[0]!.revision <= this.#storedRevision) {
      this.#unstored.shift()!.durable.resolve();
    }
  }

  /** The run is over: whoever waits is told. */
  end(): void {
    this.#ended ??= runEnded();
    for (const { durable } of [...this.#waiting.splice(0), ...this.#placed.splice(0), ...this.#unstored.splice(0)]) {
      durable.reject(this.#ended);
    }
  }
}

/** For whoever asked for something that this run does no more. */
export function runEnded(cause?: unknown): AfterimageError {
  return new AfterimageError(
    "NOT_STREAMING",
    "The daemon has just stopped to stream; what was asked for may have begun.",
    "Try again when afterimage status says streaming.",
    { cause },
  );
}
