// When which batch is published: one Kafka transaction at a time, full batches at once, others after the linger, and
// idle positions in between.
import type { Lsn } from "../event/lsn.ts";
import type { LastTransaction, Progress } from "../event/progress.ts";
import { failpoint } from "../failpoint.ts";
import type { EncodedEvent } from "../sink/encode-event.ts";
import type { PublishableBatch } from "../sink/publisher.ts";
import type { BatchAssembler, EventPlace, SizedBatch } from "./batch.ts";

export interface PublishLoopParts {
  /** Commits a batch in Kafka; resolves once it is durable. */
  readonly publish: (batch: PublishableBatch) => Promise<Progress>;
  /** The batch is durable; Kafka took so long for it. */
  readonly published: (progress: Progress, batch: SizedBatch, milliseconds: number) => void;
  readonly failed: (error: unknown) => void;
  /** Whether a source transaction has begun: then no idle record may be written. */
  readonly inTransaction: () => boolean;
  readonly lingerMs: number;
}

/** Idle records are written at most this often, and so follow within 100 ms. */
const IDLE_INTERVAL_MS = 50;

export class PublishLoop {
  readonly #parts: PublishLoopParts;
  readonly #batches: BatchAssembler;
  readonly #drained = Promise.withResolvers<void>();
  #inFlight: SizedBatch | null = null;
  #inFlightSince = 0;
  #stopping = false;
  #halted = false;
  #lingerTimer: NodeJS.Timeout | null = null;
  #idleTimer: NodeJS.Timeout | null = null;
  #lastIdle = Number.NEGATIVE_INFINITY;

  constructor(parts: PublishLoopParts, batches: BatchAssembler) {
    this.#parts = parts;
    this.#batches = batches;
  }

  /** Commit time of the oldest transaction that was received and is not published yet. */
  get oldestPending(): string | null {
    return this.#inFlight?.since ?? this.#batches.oldest;
  }

  /** For how long Kafka has had a batch without an outcome; 0 when it has none. */
  get waitingMs(): number {
    return this.#inFlight === null ? 0 : performance.now() - this.#inFlightSince;
  }

  add(event: EncodedEvent, place: EventPlace): void {
    this.#batches.add(event, place);
    if (this.#batches.hasSealed) {
      this.#pump();
    }
  }

  committed(transaction: LastTransaction, endLsn: Lsn): void {
    this.#batches.committed(transaction, endLsn);
    this.#schedule();
  }

  /** Events of the daemon's own, between transactions; none, when only a snapshot's state has changed. */
  placed(events: readonly EncodedEvent[]): void {
    this.#batches.placed(events);
    if (events.length > 0) {
      this.#schedule();
    } else {
      this.#scheduleIdle();
    }
  }

  #schedule(): void {
    if (this.#batches.hasSealed) {
      this.#pump();
    } else if (this.#inFlight === null && this.#lingerTimer === null && !this.#halted) {
      this.#lingerTimer = setTimeout(() => {
        this.#lingerTimer = null;
        this.#pump();
      }, this.#parts.lingerMs);
    }
  }

  advanced(lsn: Lsn): void {
    this.#batches.advanced(lsn);
    this.#scheduleIdle();
  }

  /** Publishes the whole transactions at hand and resolves. */
  drain(): Promise<void> {
    this.#stopping = true;
    failpoint("publish-loop.drain-begun");
    this.#pump();
    return this.#drained.promise;
  }

  /** Publishes nothing more; a batch on its way may still become durable. */
  halt(): void {
    this.#halted = true;
    this.#clearTimers();
  }

  #clearTimers(): void {
    for (const timer of [this.#lingerTimer, this.#idleTimer]) {
      if (timer !== null) {
        clearTimeout(timer);
      }
    }
    this.#lingerTimer = null;
    this.#idleTimer = null;
  }

  #pump(): void {
    if (this.#inFlight !== null || this.#halted) {
      return;
    }
    const batch = this.#batches.take();
    if (batch !== null) {
      this.#publish(batch);
    } else if (this.#stopping) {
      this.#clearTimers();
      failpoint("publish-loop.drain-over");
      this.#drained.resolve();
    } else {
      this.#scheduleIdle();
    }
  }

  #publish(batch: SizedBatch): void {
    this.#inFlight = batch;
    this.#inFlightSince = performance.now();
    this.#clearTimers();
    this.#parts
      .publish(batch)
      .then((progress) => {
        const took = this.waitingMs;
        this.#inFlight = null;
        failpoint("publish-loop.published");
        this.#parts.published(progress, batch, took);
        this.#pump();
      })
      .catch(this.#parts.failed);
  }

  #scheduleIdle(): void {
    const over = this.#stopping || this.#halted;
    if (this.#idleTimer !== null || over || this.#inFlight !== null || !this.#batches.canIdle) {
      return;
    }
    const wait = Math.max(0, this.#lastIdle + IDLE_INTERVAL_MS - performance.now());
    this.#idleTimer = setTimeout(() => {
      this.#idleTimer = null;
      const idle = this.#inFlight !== null || this.#parts.inTransaction() ? null : this.#batches.takeIdle();
      if (idle !== null) {
        this.#lastIdle = performance.now();
        this.#publish(idle);
      }
    }, wait);
  }
}
