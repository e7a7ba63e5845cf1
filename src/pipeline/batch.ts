// Collects encoded events into batches, each of which becomes one Kafka transaction. A batch ends at a source
// transaction's end; only one that is larger than a batch is published in pieces, which it shares with no other.
import type { CapturedPlace } from "../capture/captured-event.ts";
import type { Lsn } from "../event/lsn.ts";
import type { LastTransaction } from "../event/progress.ts";
import type { SnapshotState } from "../event/snapshot-state.ts";
import { failpoint } from "../failpoint.ts";
import type { EncodedEvent } from "../sink/encode-event.ts";
import type { PublishableBatch } from "../sink/publisher.ts";
import { NO_SNAPSHOT } from "./parts.ts";

/** What is published once everything handed out so far is. */
interface Base {
  readonly completeSequence: number;
  readonly endLsn: Lsn;
  readonly last: LastTransaction | null;
  readonly snapshot: SnapshotState;
}

interface CompletePart extends Base {
  readonly count: number;
  readonly bytes: number;
  readonly ownBytes: number;
}

/** Where an event stands in what Postgres sends. */
export type EventPlace = Omit<CapturedPlace, "sequence">;

export interface SizedBatch extends PublishableBatch {
  readonly bytes: number;
  /** Of these, what the daemon's own events have. */
  readonly ownBytes: number;
  /** Commit time of its first transaction; null without events. */
  readonly since: string | null;
}

export class BatchAssembler {
  readonly #maxBytes: number;
  /** How far snapshots are after what was added last. */
  readonly #snapshot: () => SnapshotState;
  readonly #sealed: SizedBatch[] = [];
  #base: Base;
  #events: EncodedEvent[] = [];
  #bytes = 0;
  #ownBytes = 0;
  #complete: CompletePart | null = null;
  /** Of the event added last. */
  #tail: EventPlace | null = null;
  /** Commit time of the oldest transaction in `#events`. */
  #since: string | null = null;
  /** Part of the transaction at hand has been sealed already, or published before a restart. */
  #split: boolean;
  /** Nothing up to here was an event, and nothing before it waits. */
  #idleLsn: Lsn;

  constructor(
    maxBytes: number,
    { completeSequence, endLsn, last }: Omit<Base, "snapshot">,
    snapshot: () => SnapshotState = () => NO_SNAPSHOT.state,
  ) {
    this.#maxBytes = maxBytes;
    this.#snapshot = snapshot;
    this.#base = { completeSequence, endLsn, last, snapshot: snapshot() };
    this.#idleLsn = endLsn;
    this.#split = last !== null && !last.complete;
  }

  /** A piece never ends with a transaction's last event, which `committed` follows. */
  add(event: EncodedEvent, place: EventPlace): void {
    this.#events.push(event);
    this.#bytes += event.bytes;
    this.#tail = place;
    this.#since ??= place.transaction.timestamp;
    if (this.#bytes < this.#maxBytes) {
      return;
    }
    this.#sealComplete();
    if (this.#bytes >= this.#maxBytes && !place.last) {
      this.#sealPiece();
    }
  }

  committed(last: LastTransaction, endLsn: Lsn): void {
    this.#complete = {
      count: this.#events.length,
      bytes: this.#bytes,
      ownBytes: this.#ownBytes,
      completeSequence: this.#events.at(-1)!.sequence,
      endLsn,
      last,
      snapshot: this.#snapshot(),
    };
    if (this.#split || this.#bytes >= this.#maxBytes) {
      this.#split = false;
      this.#sealComplete();
    }
  }

  /** Events of the daemon's own, which are published whole; called between transactions only. */
  placed(events: readonly EncodedEvent[]): void {
    if (events.length === 0) {
      return;
    }
    for (const event of events) {
      this.#events.push(event);
      this.#bytes += event.bytes;
      this.#ownBytes += event.bytes;
    }
    const { endLsn, last } = this.#complete ?? this.#base;
    this.#complete = {
      count: this.#events.length,
      bytes: this.#bytes,
      ownBytes: this.#ownBytes,
      completeSequence: events.at(-1)!.sequence,
      endLsn: this.#idleLsn > endLsn ? this.#idleLsn : endLsn,
      last,
      snapshot: this.#snapshot(),
    };
    if (this.#bytes >= this.#maxBytes) {
      this.#sealComplete();
    }
  }

  /** Everything that ends at or below it has come; called between transactions only. */
  advanced(lsn: Lsn): void {
    if (this.#complete !== null && lsn > this.#complete.endLsn) {
      this.#complete = { ...this.#complete, endLsn: lsn };
    } else if (lsn > this.#idleLsn) {
      this.#idleLsn = lsn;
    }
  }

  /** Whether a batch is full, so that publishing it should not wait for more. */
  get hasSealed(): boolean {
    return this.#sealed.length > 0;
  }

  /** Whether the position, or a snapshot, has moved and nothing else waits. */
  get canIdle(): boolean {
    const moved = this.#idleLsn > this.#base.endLsn || this.#snapshot() !== this.#base.snapshot;
    return moved && this.#sealed.length === 0 && this.#events.length === 0;
  }

  /** Commit time of the oldest transaction that waits. */
  get oldest(): string | null {
    return this.#sealed[0]?.since ?? this.#since;
  }

  /** The next full batch, else the whole transactions at hand. */
  take(): SizedBatch | null {
    if (this.#sealed.length === 0) {
      this.#sealComplete();
    }
    return this.#sealed.shift() ?? null;
  }

  takeIdle(): SizedBatch | null {
    if (!this.canIdle) {
      return null;
    }
    const { endLsn } = this.#base;
    this.#base = {
      ...this.#base,
      endLsn: this.#idleLsn > endLsn ? this.#idleLsn : endLsn,
      snapshot: this.#snapshot(),
    };
    failpoint("batch.idle");
    return { ...this.#base, events: [], bytes: 0, ownBytes: 0, since: null };
  }

  #sealComplete(): void {
    const complete = this.#complete;
    if (complete === null) {
      return;
    }
    const { count, bytes, ownBytes, ...base } = complete;
    const whole = count === this.#events.length;
    const events = whole ? this.#events : this.#events.slice(0, count);
    this.#sealed.push({ ...base, events, bytes, ownBytes, since: this.#since });
    this.#events = whole ? [] : this.#events.slice(count);
    this.#since = whole ? null : this.#tail!.transaction.timestamp;
    this.#bytes -= bytes;
    this.#ownBytes -= ownBytes;
    this.#complete = null;
    this.#base = base;
    failpoint("batch.sealed-whole");
  }

  #sealPiece(): void {
    const { transaction, index, message, rest } = this.#tail!;
    const { commitLsn, id, timestamp } = transaction;
    const last = { commitLsn, xid: id, timestamp, index, message, ...(rest > 0 && { rest }), complete: false };
    // What came so far may have changed a snapshot's list of keys: a restart does not see it again.
    this.#base = { ...this.#base, last, snapshot: this.#snapshot() };
    // None of the daemon's own, which stand between transactions.
    this.#sealed.push({ ...this.#base, events: this.#events, bytes: this.#bytes, ownBytes: 0, since: this.#since });
    this.#events = [];
    this.#bytes = 0;
    this.#since = null;
    this.#split = true;
    failpoint("batch.sealed-piece");
  }
}
