// `tx`: what handlers of a SQLite view write and read rows through.
import type { DatabaseSync, SQLOutputValue, StatementSync } from "node:sqlite";
import { AfterimageError } from "../../errors.ts";
import type { RowEvent, WireRow } from "../../event/change-event.ts";
import { type SqliteRow, SqliteTable, type SqliteValue } from "./sqlite-table.ts";

const NO_COLUMNS: readonly string[] = [];

/** Valid while its handler runs; every write commits together with the checkpoint, or not at all. */
export class SqliteTransaction {
  readonly #database: DatabaseSync;
  readonly #tables = new Map<string, SqliteTable>();
  readonly #statements = new Map<string, StatementSync>();
  #unchanged: readonly string[] = NO_COLUMNS;
  #movedFrom: WireRow | null = null;

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
      throw new AfterimageError(
        "ROW_UNKNOWN",
        `The view's table ${table} lacks the row of an event that leaves ${this.#unchanged.join(", ")} unchanged, so its values are not known.`,
        "The row is older than the stream. Take a snapshot of the table, or touch its rows once (UPDATE … SET column = column || '').",
      );
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
  attribute(event: RowEvent | null, movedFrom: WireRow | null): void {
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
