// The one loop: WAL frames in, Kafka transactions out, confirmations back. Everything flows one way; what is confirmed
// is what `publish` resolved with, never what was merely received.
import { RelationCache, type Resolution } from "../capture/relation-cache.ts";
import { type CapturedEvent, type ResumePoint, Sequencer } from "../capture/sequencer.ts";
import type { Lsn } from "../event/lsn.ts";
import type { Progress } from "../event/progress.ts";
import { failpoint } from "../failpoint.ts";
import { decodeMessage } from "../pgoutput/decoder.ts";
import type { PgoutputMessage, Relation } from "../pgoutput/messages.ts";
import type { EncodedEvent } from "../sink/encode-event.ts";
import type { PublishableBatch } from "../sink/publisher.ts";
import type { FrameHandler } from "../source/replication-stream.ts";
import { BatchAssembler } from "./batch.ts";
import { ByteBudget } from "./byte-budget.ts";
import { FrameQueue } from "./frame-queue.ts";
import { PublishLoop } from "./publish-loop.ts";

/** The socket, as the loop sees it. */
export interface FrameSource {
  consume(handler: FrameHandler): void;
  pause(): void;
  resume(): void;
}

export interface PipelineParts {
  readonly source: FrameSource;
  readonly resume: ResumePoint;
  /** Looks a relation up in the catalogue, makes its topic and numbers its schema. */
  readonly resolve: (relation: Relation) => Promise<Resolution>;
  readonly encode: (event: CapturedEvent) => EncodedEvent;
  /** Commits a batch in Kafka; resolves once it is durable. */
  readonly publish: (batch: PublishableBatch) => Promise<Progress>;
  /** Tells Postgres that everything up to here is safe. */
  readonly confirm: (endLsn: Lsn) => void;
  /** A keepalive asked for an answer. */
  readonly answer: () => void;
  readonly maxBytes: number;
  readonly lingerMs: number;
}

/** Batches held at most: one being published and one being filled. */
const BATCHES_HELD = 2;

/** A stop takes 10 s at most; connections that don't answer have to be closed after this. */
const DRAIN_MS = 5_000;

export class Pipeline {
  readonly #parts: PipelineParts;
  readonly #relations = new RelationCache();
  readonly #sequencer: Sequencer;
  readonly #loop: PublishLoop;
  readonly #budget: ByteBudget;
  readonly #frames: FrameQueue;
  readonly #ended = Promise.withResolvers<void>();
  #positionFound = false;
  #over = false;
  #published = 0;

  constructor(parts: PipelineParts) {
    this.#parts = parts;
    const { resume, maxBytes, lingerMs, source } = parts;
    this.#loop = new PublishLoop(
      {
        publish: parts.publish,
        published: (progress, batch) => {
          this.#published += batch.events.length;
          if (this.#positionFound) {
            parts.confirm(progress.endLsn);
          }
          this.#budget.release(batch.bytes);
        },
        failed: (error) => this.fail(error),
        inTransaction: () => this.#sequencer.inTransaction,
        lingerMs,
      },
      new BatchAssembler(maxBytes, resume),
    );
    this.#sequencer = new Sequencer(resume, this.#relations, {
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
      (walEnd) => this.#sequencer.keepalive(walEnd),
    );
  }

  /** Events committed in Kafka since the start of this run. */
  get publishedEvents(): number {
    return this.#published;
  }

  /** Commit time of the oldest transaction that was received and is not published yet. */
  get oldestPending(): string | null {
    return this.#loop.oldestPending;
  }

  /** For how long Kafka has had a batch without an outcome; 0 when it has none. */
  get waitingMs(): number {
    return this.#loop.waitingMs;
  }

  /** Runs until `stop`, or rejects with the first failure. */
  run(): Promise<void> {
    this.#checkPosition();
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

  #add(event: CapturedEvent): void {
    const encoded = this.#parts.encode(event);
    this.#budget.take(encoded.bytes);
    this.#loop.add(encoded, event.transaction, event.index, event.last);
  }

  #handle(bytes: Buffer): void {
    const message = decodeMessage(bytes);
    const missing = this.#unresolved(message);
    if (missing === null) {
      this.#apply(message);
    } else {
      this.#resolveThenApply(missing, message);
    }
  }

  #unresolved(message: PgoutputMessage): Relation | null {
    if (!this.#sequencer.wantsRows) {
      return null;
    }
    switch (message.kind) {
      case "insert":
      case "update":
      case "delete":
        return this.#relations.unresolved(message.relation);
      case "truncate":
        for (const oid of message.relations) {
          const relation = this.#relations.unresolved(oid);
          if (relation !== null) {
            return relation;
          }
        }
        return null;
      default:
        return null;
    }
  }

  #resolveThenApply(relation: Relation, message: PgoutputMessage): void {
    failpoint("pipeline.relation-missing");
    this.#frames.hold();
    this.#parts.source.pause();
    const resolved = (resolution: Resolution) =>
      this.#guard(() => {
        failpoint("pipeline.relation-resolved");
        this.#relations.resolve(relation.oid, resolution);
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
