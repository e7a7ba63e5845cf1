// What the consumer asks of a store: rows and checkpoints in one transaction, and ownership that a late owner loses.
import type { BarrierEvent, RowEvent, WireRow } from "../../event/change-event.ts";

export type Awaitable<T> = T | Promise<T>;

/** How far one partition was applied, as the store keeps it beside the rows. */
export interface Checkpoint {
  readonly topic: string;
  readonly partition: number;
  /** Kafka's id of the topic that was read; a topic deleted and made again under the same name has another. */
  readonly topicId: string;
  /** Offset of the first record that is not applied. */
  readonly offset: bigint;
  /** Sequence of the last event applied; 0 before the first. */
  readonly sequence: number;
  /** Commit time of that event (ISO 8601, microseconds, UTC); null before the first. */
  readonly timestamp: string | null;
}

/** A move of one partition's checkpoint. */
export interface Advance {
  /** Where this owner believes the store stands; commit fails with STORE_FENCED when it doesn't. */
  readonly from: bigint;
  readonly to: Checkpoint;
}

/** A table between a gap and the sweep that ends its snapshot. */
export interface OpenSnapshot {
  /** The gap's sequence. */
  readonly since: number;
  /** Whether the view held rows before the gap, of which the sweep may have to remove some. */
  readonly leftovers: boolean;
}

/** A store that is open and owned by this consumer. `Tx` is what handlers write rows through. */
export interface StoreSession<Tx> {
  readonly tx: Tx;
  /**
   * Takes over the partitions of a topic: raises their fencing token first, then reads their checkpoints. Without
   * any checkpoint of the topic, makes one at offset 0 for each partition. Partition order.
   */
  claim(topic: string, topicId: string, partitions: number): Awaitable<readonly Checkpoint[]>;
  begin(): Awaitable<void>;
  /**
   * Names the event that the writes to come belong to. With `unchanged` columns they may only change rows that
   * exist; with `movedFrom` (the old key) they move that row to its new key. While a snapshot of the table is open, one
   * that finds no row writes nothing: the row is still to be read.
   */
  attribute(event: RowEvent | BarrierEvent | null, movedFrom: WireRow | null): void;
  /** The open snapshot of a table; null when there is none. */
  snapshotOf(table: string): OpenSnapshot | null;
  /** Stores with the open transaction that a snapshot of the table is open, or (null) over. */
  setSnapshot(table: string, snapshot: OpenSnapshot | null): Awaitable<void>;
  /** Moves the checkpoints, each on condition of token and offset, and commits them with the rows. */
  commit(advances: readonly Advance[]): Awaitable<void>;
  rollback(): Awaitable<void>;
  close(): Awaitable<void>;
}

export interface Store<Tx> {
  /**
   * Opens the store for one view of one stream. Throws STORE_IS_LOCKED when another process has it.
   */
  open(view: { readonly stream: string; readonly group: string }): Promise<StoreSession<Tx>>;
}
