// The records of one partition between fetch and application, and how far each of the two has come.
import { AfterimageError } from "../../errors.ts";
import { type ChangeEvent, isBarrier, topicTableOf } from "../../event/change-event.ts";
import { parseEnvelope } from "../../event/envelope.ts";
import type { Advance, Checkpoint } from "../store/store.ts";

export interface StreamRecord {
  readonly offset: bigint;
  readonly value: Buffer | null;
}

/** The next event of a partition, and the offset after its record. */
export interface Head {
  readonly event: ChangeEvent;
  readonly nextOffset: bigint;
}

const MANY_RECORDS = 20_000;

export class PartitionQueue {
  /** Null in the topic of messages. */
  readonly table: string | null;
  readonly topic: string;
  readonly partition: number;
  /** Where the next fetch begins. */
  fetchOffset: bigint;
  /** End of the partition for read_committed readers, as the last fetch told. */
  lastStableOffset: bigint | null = null;
  #records: readonly StreamRecord[] = [];
  #next = 0;
  #head: Head | null = null;
  #stored: Checkpoint;
  #applied: Checkpoint;

  constructor(table: string | null, checkpoint: Checkpoint) {
    this.table = table;
    this.topic = checkpoint.topic;
    this.partition = checkpoint.partition;
    this.fetchOffset = checkpoint.offset;
    this.#stored = checkpoint;
    this.#applied = checkpoint;
  }

  /** As committed to the store. */
  get stored(): Checkpoint {
    return this.#stored;
  }

  /** Of the event applied last; 0 before the first. */
  get sequence(): number {
    return this.#applied.sequence;
  }

  /** As stored, or beyond when only control records follow: those are stored with the next event. */
  get reachedOffset(): bigint {
    return this.isEmpty && this.#applied === this.#stored ? this.fetchOffset : this.#stored.offset;
  }

  get isEmpty(): boolean {
    return this.#next === this.#records.length;
  }

  /** Takes fetched records; the queue must be at `fetchOffset`, so one fetch of a partition at a time. */
  push(records: readonly StreamRecord[], nextOffset: bigint, lastStableOffset: bigint): void {
    this.#records = this.isEmpty ? records : [...this.#records.slice(this.#next), ...records];
    this.#next = 0;
    this.fetchOffset = nextOffset;
    this.lastStableOffset = lastStableOffset;
  }

  /** The first event that is not applied; passes what the checkpoint already holds. Null when there is none here. */
  head(): Head | null {
    if (this.#head !== null) {
      return this.#head;
    }
    while (!this.isEmpty) {
      const record = this.#records[this.#next]!;
      const event = this.#parse(record);
      if (event.sequence > this.#applied.sequence) {
        this.#head = { event, nextOffset: record.offset + 1n };
        return this.#head;
      }
      this.#next++;
    }
    return null;
  }

  /** The event after the head, when it is here. */
  second(): ChangeEvent | null {
    const record = this.#head === null ? undefined : this.#records[this.#next + 1];
    return record === undefined ? null : this.#parse(record);
  }

  /**
   * Whether more should be fetched. A partition that waits for others wants no more than the record after its head:
   * the second half of a key change can stand there.
   */
  get wantsMore(): boolean {
    const waiting = this.#records.length - this.#next;
    const isHeld = this.#head !== null && needsOthers(this.#head.event);
    return waiting < (isHeld ? 2 : MANY_RECORDS);
  }

  /** The head is applied, in the open transaction. */
  advance(): void {
    const { event, nextOffset } = this.#head!;
    const { topic, partition, topicId } = this.#applied;
    this.#applied = {
      topic,
      partition,
      topicId,
      offset: nextOffset,
      sequence: event.sequence,
      timestamp: event.timestamp,
    };
    this.#head = null;
    this.#next++;
  }

  /** What to store for the events applied since the last commit; null when nothing moved. */
  pendingAdvance(): Advance | null {
    // With nothing left to apply, control records at the end are passed too: the log may be cut behind them.
    const to =
      this.isEmpty && this.fetchOffset > this.#applied.offset
        ? { ...this.#applied, offset: this.fetchOffset }
        : this.#applied;
    return to.offset === this.#stored.offset ? null : { from: this.#stored.offset, to };
  }

  committed({ to }: Advance): void {
    this.#stored = to;
    this.#applied = to;
  }

  #parse(record: StreamRecord): ChangeEvent {
    try {
      const event = parseEnvelope(record.value === null ? "null" : record.value.toString("utf8"));
      if (topicTableOf(event) !== this.table) {
        throw new AfterimageError(
          "TABLE_MISMATCH",
          `${event.table === null ? "A message" : `An event of table ${event.table}`} stands in the topic of ${this.table ?? "messages"}.`,
          "Check the `topics` option: each table has a topic of its own.",
        );
      }
      return event;
    } catch (cause) {
      if (!(cause instanceof AfterimageError)) {
        throw cause;
      }
      const place = `topic ${this.topic}, partition ${this.partition}, offset ${record.offset}`;
      throw new AfterimageError(cause.code, `${cause.message} (${place})`, cause.advice, { cause });
    }
  }
}

/** Barriers wait for all partitions of the topic, halves of a key change with unchanged columns for each other. */
export function needsOthers(event: ChangeEvent): boolean {
  return isBarrier(event) || isMoveOut(event) || isMoveIn(event);
}

export function isMoveOut(event: ChangeEvent): boolean {
  return event.operation === "delete" && event.nextKey !== undefined && (event.unchanged?.length ?? 0) > 0;
}

export function isMoveIn(event: ChangeEvent): boolean {
  return event.operation === "insert" && event.previousKey !== undefined && (event.unchanged?.length ?? 0) > 0;
}
