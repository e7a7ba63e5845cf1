// All partitions of the stream as one sequence. Each partition rises by itself, so merging their heads shows every gap
// and every double while only one reply of each partition is held: memory doesn't grow with the stream.
import { AfterimageError } from "../errors.ts";
import { fetchPartitions } from "../kafka/committed-reader.ts";
import type { KafkaConnection } from "../kafka/connection.ts";
import { fetchOffsets } from "../kafka/offsets.ts";
import type { Findings } from "./finding.ts";
import type { PartitionBounds } from "./layout.ts";
import { PartitionCursor, type StreamRecord } from "./partition-cursor.ts";

const MIB = 1024 * 1024;
/** For all partitions together. */
const HELD_BYTES = 32 * MIB;
const LEAST_BYTES = 64 * 1024;
/** A partition with fewer records at hand is read along with one that has none. */
const FEW_RECORDS = 200;
const MAX_WAIT_MS = 500;

/** `take` has to wait for `feed`. */
export const HUNGRY = Symbol("hungry");

export interface MergedReaderOptions {
  /** How long an open transaction may hide what the target accounts for. */
  readonly heldPatienceMs: number;
}

export class MergedReader {
  readonly #connection: KafkaConnection;
  readonly #findings: Findings;
  readonly #options: MergedReaderOptions;
  readonly #cursors = new Map<string, PartitionCursor>();
  /** Binary heap by the head's sequence. */
  readonly #heap: PartitionCursor[] = [];
  readonly #hungry = new Set<PartitionCursor>();

  constructor(connection: KafkaConnection, findings: Findings, options: MergedReaderOptions) {
    this.#connection = connection;
    this.#findings = findings;
    this.#options = options;
  }

  get cursors(): Iterable<PartitionCursor> {
    return this.#cursors.values();
  }

  /** Reads on up to these ends; partitions that are new are read from their beginning. */
  extend(bounds: readonly PartitionBounds[]): void {
    for (const bound of bounds) {
      const place = `${bound.partition} ${bound.topic.name}`;
      const known = this.#cursors.get(place);
      if (known === undefined) {
        const cursor = new PartitionCursor(bound, this.#findings);
        this.#cursors.set(place, cursor);
        this.#settle(cursor);
      } else {
        const wasExhausted = known.exhausted;
        known.end = bound.end;
        if (wasExhausted) {
          this.#settle(known);
        }
      }
    }
  }

  /**
   * The records of the lowest sequence at or below `limit`: one, or the copies of a barrier, or doubles. Null when
   * nothing is left at or below it.
   */
  take(limit: number): StreamRecord[] | null | typeof HUNGRY {
    if (this.#hungry.size > 0) {
      return HUNGRY;
    }
    const sequence = this.#heap[0]?.head?.event.sequence;
    if (sequence === undefined || sequence > limit) {
      return null;
    }
    const taken: StreamRecord[] = [];
    while (this.#heap[0]?.head?.event.sequence === sequence) {
      const cursor = this.#pop();
      taken.push(cursor.head!);
      cursor.advance();
      this.#settle(cursor);
    }
    // Which of several is the first must not depend on what was read when.
    return taken.length === 1 ? taken : taken.sort(byPlace);
  }

  /** The records that `take` gives next, without taking them. */
  peek(): StreamRecord | null {
    return this.#hungry.size > 0 ? null : (this.#heap[0]?.head ?? null);
  }

  /** Reads what `take` waits for. Throws VERIFY_HELD when an open transaction hides it for too long. */
  async feed(): Promise<void> {
    let heldSince = performance.now();
    while (this.#hungry.size > 0) {
      const before = this.#hungry.size;
      const moved = await this.#fetch();
      if (moved || this.#hungry.size < before) {
        heldSince = performance.now();
      } else if (performance.now() - heldSince > this.#options.heldPatienceMs) {
        throw held([...this.#hungry][0]!);
      }
    }
  }

  async #fetch(): Promise<boolean> {
    const others = [...this.#cursors.values()].filter(
      (cursor) => !this.#hungry.has(cursor) && cursor.position < cursor.end && cursor.waiting < FEW_RECORDS,
    );
    const asked = [...this.#hungry, ...others];
    const positions = asked.map(({ topic, partition, position }) => ({
      topic: topic.name,
      partition,
      offset: position,
    }));
    const perPartition = Math.max(LEAST_BYTES, Math.min(MIB, Math.floor(HELD_BYTES / this.#cursors.size)));
    let fetched: Awaited<ReturnType<typeof fetchPartitions>>;
    try {
      const limits = { maxBytesPerPartition: perPartition, maxBytes: HELD_BYTES, maxWaitMs: MAX_WAIT_MS };
      fetched = await fetchPartitions(this.#connection, positions, limits);
    } catch (error) {
      if (error instanceof AfterimageError && error.code === "OFFSET_OUT_OF_RANGE") {
        return this.#passTrimmed(asked, error);
      }
      throw error;
    }
    let moved = false;
    for (const { topic, partition, records, nextOffset } of fetched) {
      const cursor = this.#cursors.get(`${partition} ${topic}`)!;
      moved ||= nextOffset > cursor.position;
      cursor.feed(records, nextOffset);
      if (this.#hungry.delete(cursor)) {
        this.#settle(cursor);
      }
    }
    return moved;
  }

  /** Retention goes on while the stream is read. */
  async #passTrimmed(asked: readonly PartitionCursor[], error: AfterimageError): Promise<boolean> {
    let moved = false;
    for (const cursor of asked) {
      const { earliest } = await fetchOffsets(this.#connection, cursor.topic.name, cursor.partition);
      if (earliest > cursor.position) {
        cursor.trimTo(earliest);
        moved = true;
      }
    }
    if (!moved) {
      throw error;
    }
    for (const cursor of asked) {
      if (this.#hungry.delete(cursor)) {
        this.#settle(cursor);
      }
    }
    return true;
  }

  /** Puts a cursor where it belongs now: among the heads, among those to be read, or nowhere when nothing is left. */
  #settle(cursor: PartitionCursor): void {
    if (cursor.head !== null) {
      this.#push(cursor);
    } else if (!cursor.exhausted) {
      this.#hungry.add(cursor);
    }
  }

  #push(cursor: PartitionCursor): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(cursor);
    while (at > 0) {
      const above = (at - 1) >> 1;
      if (!isBefore(cursor, heap[above]!)) {
        break;
      }
      heap[at] = heap[above]!;
      at = above;
    }
    heap[at] = cursor;
  }

  #pop(): PartitionCursor {
    const heap = this.#heap;
    const first = heap[0]!;
    const last = heap.pop()!;
    if (heap.length === 0) {
      return first;
    }
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= heap.length) {
        break;
      }
      if (below + 1 < heap.length && isBefore(heap[below + 1]!, heap[below]!)) {
        below++;
      }
      if (!isBefore(heap[below]!, last)) {
        break;
      }
      heap[at] = heap[below]!;
      at = below;
    }
    heap[at] = last;
    return first;
  }
}

const isBefore = (a: PartitionCursor, b: PartitionCursor): boolean => a.head!.event.sequence < b.head!.event.sequence;

const byPlace = (a: StreamRecord, b: StreamRecord): number =>
  a.topic.name === b.topic.name ? a.partition - b.partition : a.topic.name < b.topic.name ? -1 : 1;

function held({ topic, partition, position }: PartitionCursor): AfterimageError {
  return new AfterimageError(
    "VERIFY_HELD",
    `An open transaction holds topic ${topic.name} partition ${partition} at offset ${position}: what lies behind it can't be seen yet.`,
    `A daemon that died leaves one open for 60 s: wait, and verify again. If it stays, find the producer: kafka-transactions.sh find-hanging --topic ${topic.name} --partition ${partition}.`,
  );
}
