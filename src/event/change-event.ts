// THE CONTRACT: what readers of a stream get. Wire form, version 1.

/** A value as it stands on the wire: native JSON for boolean, int2, int4, oid and finite floats, else Postgres's text. */
export type WireValue = string | number | boolean | null;

/** Column name to value. A column listed in the event's `unchanged` is absent, never null. */
export type WireRow = Readonly<Record<string, WireValue>>;

export interface TransactionInfo {
  /** The source transaction's xid; null for an event the daemon made itself (`read`, `gap`, `sweep`). */
  readonly id: string | null;
  /** How often the stream was rebuilt after its slot was lost; LSNs of different epochs have no order. */
  readonly epoch: number;
  /** Commit LSN in Postgres's text form; `parseLsn` makes it comparable. */
  readonly lsn: string;
  /** 1-based ordinal in the source transaction, in the order Postgres sent; 0 for an event the daemon made itself. */
  readonly index: number;
  /** Present, and true, on the last event of its transaction. */
  readonly last?: true;
}

interface EventBase {
  readonly v: 1;
  /** Commit time, microseconds, UTC: `2026-11-22T18:00:00.123456Z`. For `read` the time of reading. */
  readonly timestamp: string;
  /** Dense, gapless, from 1, in commit order; never reused. */
  readonly sequence: number;
  readonly transaction: TransactionInfo;
}

interface RowEventBase<Key> extends EventBase {
  /** `schema.table`, each part quoted unless it is a plain lower-case word. */
  readonly table: string;
  /** Id of the record of `<stream>.schemas` that describes the columns. */
  readonly schema: number;
  /** The key columns; null for a table without a key. */
  readonly key: Key | null;
}

export interface InsertEvent<Row = WireRow, Key = WireRow> extends RowEventBase<Key> {
  readonly operation: "insert";
  readonly before: null;
  readonly after: Row;
  /** Second half of a key change: the key of the row this one continues. */
  readonly previousKey?: Key;
  readonly unchanged?: readonly string[];
}

export interface UpdateEvent<Row = WireRow, Key = WireRow> extends RowEventBase<Key> {
  readonly operation: "update";
  /** The old row under REPLICA IDENTITY FULL, else null. */
  readonly before: Row | null;
  readonly after: Row;
  readonly unchanged?: readonly string[];
}

export interface DeleteEvent<Key = WireRow, Old = WireRow> extends RowEventBase<Key> {
  readonly operation: "delete";
  /** The old row under REPLICA IDENTITY FULL, else its key columns. */
  readonly before: Old;
  readonly after: null;
  /** First half of a key change: the key under which the row goes on. */
  readonly nextKey?: Key;
  readonly unchanged?: readonly string[];
}

/** A row read by a snapshot. */
export interface ReadEvent<Row = WireRow, Key = WireRow> extends RowEventBase<Key> {
  readonly operation: "read";
  readonly before: null;
  readonly after: Row;
}

/** What `pg_logical_emit_message` wrote in a transaction. */
export interface MessageEvent extends EventBase {
  readonly operation: "message";
  readonly table: null;
  readonly schema: null;
  readonly key: null;
  readonly before: null;
  readonly after: { readonly prefix: string; readonly content: string; readonly encoding: "utf8" | "base64" };
}

interface BarrierBase extends EventBase {
  readonly table: string;
  readonly key: null;
  readonly before: null;
  readonly after: null;
  /** How many partitions hold a byte-equal copy of this event; the copies share one sequence and count once. */
  readonly copies: number;
}

export interface TruncateEvent extends BarrierBase {
  readonly operation: "truncate";
  readonly schema: number;
}

/** Something is missing from the stream from here on, and why. */
export interface GapEvent extends BarrierBase {
  readonly operation: "gap";
  readonly schema: null;
  readonly reason: string;
}

/** End of a snapshot that answers a gap: every row of the table whose last event is below `since` is gone. */
export interface SweepEvent extends BarrierBase {
  readonly operation: "sweep";
  readonly schema: null;
  readonly since: number;
}

/** How the reason of a gap begins that a snapshot answers: every row follows as `read`, and then a sweep. */
const SNAPSHOT_REASON = "snapshot:";

/**
 * The reason of the gap that opens the snapshot of a table without a key: its rows can't be told from one another, so a
 * view begins from nothing here, and counts what follows.
 */
export const KEYLESS_SNAPSHOT = `${SNAPSHOT_REASON} the table has no key, so nothing before this counts; every row follows`;

/** Whether a view holds no row of the table from here on, but those that follow. */
export function emptiesTable(gap: GapEvent): boolean {
  return gap.reason === KEYLESS_SNAPSHOT;
}

/** Whether the view becomes right again by itself: at the sweep whose `since` is this gap's sequence. */
export function opensSnapshot(gap: GapEvent): boolean {
  return gap.reason.startsWith(SNAPSHOT_REASON);
}

/** How the reason of a gap begins that ends a snapshot without a sweep. */
export const SNAPSHOT_GIVEN_UP = "snapshot given up:";

/**
 * Whether a snapshot ends here that was given up, since it was cancelled or its table left the publication: no sweep
 * follows, and rows that were neither read nor streamed stay unknown.
 */
export function givesUpSnapshot(gap: GapEvent): boolean {
  return gap.reason.startsWith(SNAPSHOT_GIVEN_UP);
}

/**
 * What stands as `table` in the gap of a message that was left out. No table is called so: their names have two parts.
 */
export const MESSAGES = "messages";

/** The reason of such a gap. */
export const messageGapReason = (prefix: string, reason: string): string =>
  `message ${JSON.stringify(prefix)}: ${reason}`;

/** The prefix of the message that a gap stands for; null for the gap of a table. */
export function skippedPrefix({ table, reason }: GapEvent): string | null {
  const quoted = table === MESSAGES ? /^message ("(?:[^"\\]|\\.)*"): /.exec(reason) : null;
  return quoted === null ? null : JSON.parse(quoted[1]!);
}

/** `Old`: what a delete tells of the row, all of it or its key alone. */
export type RowEvent<Row = WireRow, Key = WireRow, Old = WireRow> =
  | InsertEvent<Row, Key>
  | UpdateEvent<Row, Key>
  | DeleteEvent<Key, Old>
  | ReadEvent<Row, Key>;

/** A barrier concerns a whole table and stands in every partition of its topic. */
export type BarrierEvent = TruncateEvent | GapEvent | SweepEvent;

export type ChangeEvent<Row = WireRow, Key = WireRow, Old = WireRow> =
  | RowEvent<Row, Key, Old>
  | MessageEvent
  | BarrierEvent;

/** The table in whose topic an event stands; null for that of messages. */
export const topicTableOf = (event: ChangeEvent): string | null =>
  event.operation === "gap" && event.table === MESSAGES ? null : event.table;

export type Operation = ChangeEvent["operation"];

export function isBarrier(event: ChangeEvent): event is BarrierEvent {
  return event.operation === "truncate" || event.operation === "gap" || event.operation === "sweep";
}
