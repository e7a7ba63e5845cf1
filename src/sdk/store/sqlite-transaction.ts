// `tx`: what handlers of a SQLite view write and read rows through.
import type { DatabaseSync, SQLOutputValue, StatementSync } from "node:sqlite";
import { AfterimageError } from "../../errors.ts";
import type { BarrierEvent, RowEvent, WireRow } from "../../event/change-event.ts";
import { type SqliteRow, SqliteTable, type SqliteValue } from "./sqlite-table.ts";
import type { OpenSnapshot } from "./store.ts";

const NO_COLUMNS: readonly string[] = [];

/** Valid while its handler runs; every write commits together with the checkpoint, or not at all. */
export class SqliteTransaction {
  readonly #database: DatabaseSync;
  readonly #tables = new Map<string, SqliteTable>();
  readonly #statements = new Map<string, StatementSync>();
  #unchanged: readonly string[] = NO_COLUMNS;
  #movedFrom: WireRow | null = null;
  /** Of the event's table. */
  #snapshot: OpenSnapshot | null = null;
  #source = "";
  #sweeping = false;

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /**
   * Writes the columns that are present, over the row with the same primary key or as a new row. For an event with
   * unchanged columns it never makes a new row.
   * @throws COLUMN_UNKNOWN, PRIMARY_KEY_MISSING, VALUE_UNSUPPORTED, ROW_UNKNOWN
   */
  upsert(table: string, row: SqliteRow): void {
    this.#requireOpen();
    const target = this.#table(table);
    if (this.#unchanged.length === 0) {
      target.upsert(row);
    } else if (!target.update(row, this.#movedFrom ?? row)) {
      if (this.#snapshot !== null) {
        return; // the snapshot will read it
      }
      throw new AfterimageError(
        "ROW_UNKNOWN",
        `The view's table ${table} lacks the row of an event that leaves ${this.#unchanged.join(", ")} unchanged, so its values are not known.`,
        "The row is older than the stream, and a snapshot taken now would stand behind this event. Rebuild the stream with snapshot: initial: afterimage drop STREAM --topics, then start.",
      );
    }
    if (this.#snapshot?.leftovers === true) {
      target.markWritten(this.#source, row);
    }
  }

  /** Deletes the row whose primary key is in `key`; nothing happens when there is none. */
  delete(table: string, key: SqliteRow): void {
    this.#requireOpen();
    this.#table(table).delete(key);
  }

  /** Deletes every row of the table. */
  clear(table: string): void {
    this.#requireOpen();
    this.#table(table).clear();
  }

  /**
   * For a `sweep` handler: deletes every row that was not upserted since the gap. Only for a table of the view whose
   * rows all come from the event's table.
   * @throws SWEEP_NOT_HERE outside a sweep handler
   */
  sweep(table: string): void {
    this.#requireOpen();
    if (!this.#sweeping) {
      throw new AfterimageError(
        "SWEEP_NOT_HERE",
        `tx.sweep("${table}") was called outside a \`sweep\` handler.`,
        "Call it in the `sweep` handler of the table: rows that a snapshot did not meet are known only there.",
      );
    }
    // Without leftovers every row was written since the gap, and none was marked.
    if (this.#snapshot?.leftovers === true) {
      this.#table(table).deleteUnwritten(this.#source);
    }
  }

  /** Runs one SQL statement with `?` parameters; gives the number of rows it changed. */
  run(sql: string, ...parameters: SqliteValue[]): number {
    return Number(this.#prepare(sql).run(...parameters.map(asBindable)).changes);
  }

  /** The first row of a query; undefined when it has none. */
  get(sql: string, ...parameters: SqliteValue[]): Record<string, SQLOutputValue> | undefined {
    return this.#prepare(sql).get(...parameters.map(asBindable));
  }

  /** Every row of a query. */
  all(sql: string, ...parameters: SqliteValue[]): Record<string, SQLOutputValue>[] {
    return this.#prepare(sql).all(...parameters.map(asBindable));
  }

  /** @internal Called by the store. */
  attribute(
    event: RowEvent | BarrierEvent | null,
    movedFrom: WireRow | null,
    snapshot: OpenSnapshot | null = null,
  ): void {
    this.#snapshot = snapshot;
    this.#source = event?.table ?? "";
    this.#sweeping = event?.operation === "sweep";
    this.#unchanged = (event !== null && "unchanged" in event ? event.unchanged : undefined) ?? NO_COLUMNS;
    this.#movedFrom = movedFrom;
  }

  #table(name: string): SqliteTable {
    let table = this.#tables.get(name);
    if (table === undefined) {
      table = new SqliteTable(this.#database, name);
      this.#tables.set(name, table);
    }
    return table;
  }

  #prepare(sql: string): StatementSync {
    this.#requireOpen();
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#database.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  #requireOpen(): void {
    if (!this.#database.isOpen || !this.#database.isTransaction) {
      throw new AfterimageError(
        "TRANSACTION_OVER",
        "A handler used tx after it had returned.",
        "Await everything that a handler starts, or return its promise.",
      );
    }
  }
}

function asBindable(value: SqliteValue): Exclude<SqliteValue, boolean> {
  if (typeof value === "boolean") {
    return value ? 1n : 0n;
  }
  return typeof value === "number" && Number.isSafeInteger(value) && !Object.is(value, -0) ? BigInt(value) : value;
}
