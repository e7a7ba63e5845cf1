// The one loop: WAL frames in, Kafka transactions out, confirmations back. Everything flows one way; what is confirmed
// is what `publish` resolved with, never what was merely received.

import type { CapturedEvent } from "../capture/captured-event.ts";
import { RelationCache, type Resolution } from "../capture/relation-cache.ts";
import { Sequencer } from "../capture/sequencer.ts";
import type { Lsn } from "../event/lsn.ts";
import { failpoint } from "../failpoint.ts";
import { decodeMessage } from "../pgoutput/decoder.ts";
import type { PgoutputMessage, Relation } from "../pgoutput/messages.ts";
import { BatchAssembler } from "./batch.ts";
import { ByteBudget } from "./byte-budget.ts";
import { encodeCaptured } from "./encode-captured.ts";
import { FrameQueue, LARGE_FRAME_BYTES } from "./frame-queue.ts";
import { NO_SNAPSHOT, type PipelineParts, type SnapshotSide } from "./parts.ts";
import { type BuildEvents, Placements } from "./placements.ts";
import { PublishLoop } from "./publish-loop.ts";
import { PublishedCounts } from "./published-counts.ts";

/** Batches held at most: one being published and one being filled. */
const BATCHES_HELD = 2;

/** A stop takes 10 s at most; connections that don't answer have to be closed after this. */
const DRAIN_MS = 5_000;

export class Pipeline {
  /** Of what was committed in Kafka since the start of this run. */
  readonly published = new PublishedCounts();
  readonly #parts: PipelineParts;
  readonly #snapshot: SnapshotSide;
  readonly #relations = new RelationCache();
  readonly #sequencer: Sequencer;
  readonly #loop: PublishLoop;
  readonly #budget: ByteBudget;
  readonly #frames: FrameQueue;
  readonly #placements: Placements;
  readonly #ended = Promise.withResolvers<void>();
  #positionFound = false;
  #over = false;

  constructor(parts: PipelineParts) {
    this.#parts = parts;
    const { resume, maxBytes, lingerMs, source, snapshot = NO_SNAPSHOT } = parts;
    this.#snapshot = snapshot;
    this.#placements = new Placements({
      from: resume.endLsn,
      ready: () => this.#sequencer.canPlace && !this.#over,
      nextSequence: () => this.#sequencer.place(),
      placed: (events) => {
        parts.images?.placed(events);
        this.#loop.placed(events);
      },
      state: () => snapshot.state,
    });
    this.#loop = new PublishLoop(
      {
        publish: parts.publish,
        published: (progress, batch, milliseconds) => {
          this.published.add(batch, milliseconds);
          if (this.#positionFound) {
            parts.confirm(progress.endLsn);
          }
          // Snapshots bound what they have on its way themselves: while that is published the socket has to be read, or
          // the stream would not reach what is to be put into it next.
          this.#budget.release(batch.bytes - batch.ownBytes);
          this.#placements.published(progress.sequence, batch.snapshot);
        },
        failed: (error) => this.fail(error),
        inTransaction: () => this.#sequencer.inTransaction,
        lingerMs,
      },
      new BatchAssembler(maxBytes, resume, () => this.#placements.carried()),
    );
    this.#sequencer = new Sequencer(resume, this.#relations, parts.messages ?? null, {
      event: (event) => this.#add(event),
      committed: (transaction, endLsn) => this.#loop.committed(transaction, endLsn),
      advanced: (lsn) => this.#loop.advanced(lsn),
    });
    this.#budget = new ByteBudget(
      maxBytes * BATCHES_HELD,
      () => {
        failpoint("pipeline.budget-full");
        source.pause();
      },
      () => {
        failpoint("pipeline.budget-free");
        this.#resumeSource();
      },
    );
    this.#frames = new FrameQueue(
      (bytes) => this.#handle(bytes),
      (walEnd) => {
        this.#sequencer.keepalive(walEnd);
        this.#passed(walEnd);
      },
    );
  }

  /** Commit time of the oldest transaction that was received and is not published yet. */
  get oldestPending(): string | null {
    return this.#loop.oldestPending;
  }

  /** For how long Kafka has had a batch without an outcome; 0 when it has none. */
  get waitingMs(): number {
    return this.#loop.waitingMs;
  }

  /**
   * Puts events of the daemon's own into the stream, between transactions, as soon as everything up to `after` was
   * handed over. Resolves once they, or the state that they left, are durable; rejects when the run ends before.
   */
  place(after: Lsn, build: BuildEvents): Promise<void> {
    const durable = this.#placements.place(after, build);
    this.#guard(() => this.#placements.settle());
    return durable;
  }

  /** Runs until `stop`, or rejects with the first failure. */
  run(): Promise<void> {
    this.#checkPosition();
    const over = () => this.#placements.end();
    this.#ended.promise.then(over, over);
    this.#parts.source.consume({
      wal: (bytes) => {
        failpoint("pipeline.frame-received");
        this.#guard(() => this.#frames.wal(bytes));
      },
      keepalive: (walEnd, replyRequested) => {
        failpoint("pipeline.keepalive-received");
        this.#guard(() => {
          if (replyRequested) {
            this.#parts.answer();
          }
          this.#frames.keepalive(walEnd);
        });
      },
    });
    return this.#ended.promise;
  }

  /**
   * Publishes the whole transactions at hand, confirms them and ends; what is incomplete is sent again next time, and
   * so is what Kafka does not take within `patienceMs`.
   */
  stop(patienceMs = DRAIN_MS): void {
    if (!this.#over) {
      this.#over = true;
      this.#parts.source.pause();
      const late = setTimeout(() => {
        this.#loop.halt();
        this.#ended.resolve();
      }, patienceMs);
      const ended = () => clearTimeout(late);
      this.#ended.promise.then(ended, ended);
      this.#loop.drain().then(this.#ended.resolve);
    }
  }

  /** As `stop`, then ends with that error. Resolves once it has ended, be it with another one. */
  async drainThenFail(error: unknown): Promise<void> {
    if (!this.#over) {
      this.#over = true;
      this.#parts.source.pause();
      this.#loop.drain().then(() => this.#ended.reject(error));
      // A batch that fails meanwhile ends the run without the drain ever being over; `run` tells with which error.
      await this.#ended.promise.catch(() => undefined);
    }
  }

  /** Ends at once; what is not published is sent again next time. */
  fail(error: unknown): void {
    this.#over = true;
    this.#loop.halt();
    this.#parts.source.pause();
    this.#ended.reject(error);
  }

  #add(captured: CapturedEvent): void {
    const encoded = encodeCaptured(captured, this.#parts, this.#snapshot);
    this.#budget.take(encoded.bytes);
    this.#loop.add(encoded, captured);
  }

  /** The server has sent everything that ends at or below it; inside a transaction that is not all handed over. */
  #passed(lsn: Lsn): void {
    if (!this.#sequencer.inTransaction) {
      this.#placements.passed(lsn);
      this.#placements.settle();
    }
  }

  #handle(bytes: Buffer): void {
    const tell = bytes.length > LARGE_FRAME_BYTES ? this.#parts.answer : () => undefined;
    tell(); // to read it from the socket took its time as well
    const message = decodeMessage(bytes);
    tell();
    const missing = this.#unresolved(message);
    if (missing === null) {
      this.#apply(message);
      tell();
    } else {
      this.#resolveThenApply(missing, message);
    }
  }

  #unresolved(message: PgoutputMessage): Relation | null {
    return this.#sequencer.wantsRows ? this.#relations.missingFor(message) : null;
  }

  #resolveThenApply(relation: Relation, message: PgoutputMessage): void {
    failpoint("pipeline.relation-missing");
    this.#frames.hold();
    this.#parts.source.pause();
    const resolved = (resolution: Resolution) =>
      this.#guard(() => {
        failpoint("pipeline.relation-resolved");
        this.#relations.resolve(relation.oid, resolution);
        // Between events of a transaction each has to be noted in its turn.
        if (resolution.topic !== null && this.#sequencer.canPlace) {
          this.#snapshot.announced(resolution);
        }
        const next = this.#unresolved(message);
        if (next !== null) {
          this.#resolveThenApply(next, message);
          return;
        }
        this.#apply(message);
        this.#frames.release();
        this.#resumeSource();
      });
    this.#parts.resolve(relation).then(resolved, (error) => this.fail(error));
  }

  #apply(message: PgoutputMessage): void {
    switch (message.kind) {
      case "begin":
        failpoint("pipeline.begin");
        this.#sequencer.begin(message);
        this.#checkPosition();
        return;
      case "commit":
        failpoint("pipeline.commit");
        this.#sequencer.commit(message);
        this.#passed(message.endLsn);
        return;
      case "insert":
      case "update":
      case "delete":
        failpoint("pipeline.row");
        this.#sequencer.row(message);
        return;
      case "truncate":
        failpoint("pipeline.truncate");
        this.#sequencer.truncate(message);
        return;
      case "message":
        failpoint("pipeline.message");
        this.#sequencer.message(message);
        return;
      case "relation":
        this.#relations.announce(message);
        return;
      case "type":
      case "origin":
        return;
      default:
        throw message satisfies never;
    }
  }

  // Until the server has shown that it holds what was published last, it may be another server: nothing is confirmed.
  #checkPosition(): void {
    if (!this.#positionFound && this.#sequencer.positionFound) {
      this.#positionFound = true;
      failpoint("pipeline.position-found");
      this.#parts.confirm(this.#parts.resume.endLsn);
    }
  }

  #resumeSource(): void {
    if (!this.#budget.full && !this.#frames.held && !this.#over) {
      this.#parts.source.resume();
    }
  }

  #guard(step: () => void): void {
    if (this.#over) {
      return;
    }
    try {
      step();
    } catch (error) {
      this.fail(error);
    }
  }
}
