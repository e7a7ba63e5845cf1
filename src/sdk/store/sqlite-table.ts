// The statements that write one table of a SQLite view, prepared once for each set of columns that occurs.
import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import { AfterimageError } from "../../errors.ts";
import { rowNameSql } from "./sqlite-snapshots.ts";

/** What may be written to a column; a boolean becomes 0 or 1. */
export type SqliteValue = string | number | bigint | boolean | Uint8Array | null;

export type SqliteRow = Readonly<Record<string, SqliteValue | undefined>>;

interface Statement {
  readonly statement: StatementSync;
  /** Columns in the order of the statement's parameters. */
  readonly parameters: readonly string[];
}

/** No name of a column in Postgres holds a NUL, but many hold blanks. */
const shapeOf = (names: readonly string[]): string => names.join("\0");

const quote = (name: string): string => `"${name.replaceAll('"', '""')}"`;

export class SqliteTable {
  readonly name: string;
  readonly #database: DatabaseSync;
  readonly #columns: ReadonlySet<string>;
  readonly #primaryKey: readonly string[];
  readonly #statements = new Map<string, Statement>();

  constructor(database: DatabaseSync, name: string) {
    this.name = name;
    this.#database = database;
    const columns = database.prepare("SELECT name, pk FROM pragma_table_info(?) ORDER BY pk").all(name);
    if (columns.length === 0) {
      throw new AfterimageError(
        "TABLE_UNKNOWN",
        `The view has no table ${name}.`,
        "Create it in `setup` of sqliteStore, and mind its spelling in the handler.",
      );
    }
    this.#columns = new Set(columns.map((column) => column.name as string));
    this.#primaryKey = columns.filter((column) => Number(column.pk) > 0).map((column) => column.name as string);
  }

  /** Inserts the row, or writes its columns over the row with the same primary key. */
  upsert(row: SqliteRow): void {
    const names = Object.keys(row);
    const { statement, parameters } = this.#cached(`upsert ${shapeOf(names)}`, () => this.#prepareUpsert(names));
    // SQLite would make up a value for a null in an INTEGER PRIMARY KEY.
    this.#requireKey(names.filter((name) => row[name] !== null));
    statement.run(...this.#bind(row, parameters));
  }

  /** Writes the columns of the row at `key` (the row's own primary key unless given); false when there is none. */
  update(row: SqliteRow, key: SqliteRow = row): boolean {
    const names = Object.keys(row);
    const { statement, parameters } = this.#cached(`update ${shapeOf(names)}`, () => this.#prepareUpdate(names));
    this.#requireKey(Object.keys(key));
    const { changes } = statement.run(...this.#bind(row, parameters), ...this.#bind(key, this.#primaryKey));
    return Number(changes) > 0;
  }

  /** Deletes the row with this primary key, if there is one; other columns of `key` are not looked at. */
  delete(key: SqliteRow): void {
    const { statement } = this.#cached("delete", () => ({
      statement: this.#database.prepare(`DELETE FROM ${quote(this.name)} WHERE ${this.#keyCondition()}`),
      parameters: this.#primaryKey,
    }));
    this.#requireKey(Object.keys(key));
    statement.run(...this.#bind(key, this.#primaryKey));
  }

  /** Remembers that an event of `source` wrote the row with this primary key. */
  markWritten(source: string, key: SqliteRow): void {
    const { statement } = this.#cached("mark", () => ({
      statement: this.#database.prepare(
        `INSERT OR IGNORE INTO afterimage_written SELECT ?, ?, ${rowNameSql(this.#primaryKey)} ` +
          `FROM ${quote(this.name)} WHERE ${this.#keyCondition()}`,
      ),
      parameters: this.#primaryKey,
    }));
    statement.run(source, this.name, ...this.#bind(key, this.#primaryKey));
  }

  /** Deletes the rows that no event of `source` was remembered to have written. */
  deleteUnwritten(source: string): void {
    const { statement } = this.#cached("sweep", () => ({
      statement: this.#database.prepare(
        `DELETE FROM ${quote(this.name)} WHERE ${rowNameSql(this.#primaryKey)} NOT IN ` +
          `(SELECT "row" FROM afterimage_written WHERE "source" = ? AND "table" = ?)`,
      ),
      parameters: [],
    }));
    this.#requireKey(this.#primaryKey);
    statement.run(source, this.name);
  }

  clear(): void {
    this.#cached("clear", () => ({
      statement: this.#database.prepare(`DELETE FROM ${quote(this.name)}`),
      parameters: [],
    })).statement.run();
  }

  #cached(shape: string, prepare: () => Statement): Statement {
    let statement = this.#statements.get(shape);
    if (statement === undefined) {
      statement = prepare();
      this.#statements.set(shape, statement);
    }
    return statement;
  }

  #prepareUpsert(names: readonly string[]): Statement {
    this.#requireColumns(names);
    this.#requireKey(names);
    const others = names.filter((name) => !this.#primaryKey.includes(name));
    const changes = others.map((name) => `${quote(name)} = excluded.${quote(name)}`).join(", ");
    return {
      statement: this.#database.prepare(
        `INSERT INTO ${quote(this.name)} (${names.map(quote).join(", ")}) VALUES (${names.map(() => "?").join(", ")}) ` +
          `ON CONFLICT (${this.#primaryKey.map(quote).join(", ")}) ` +
          (changes === "" ? "DO NOTHING" : `DO UPDATE SET ${changes}`),
      ),
      parameters: names,
    };
  }

  #prepareUpdate(names: readonly string[]): Statement {
    this.#requireColumns(names);
    this.#requireKey(names);
    return {
      statement: this.#database.prepare(
        `UPDATE ${quote(this.name)} SET ${names.map((name) => `${quote(name)} = ?`).join(", ")} ` +
          `WHERE ${this.#keyCondition()}`,
      ),
      parameters: names,
    };
  }

  #keyCondition(): string {
    return this.#primaryKey.map((name) => `${quote(name)} = ?`).join(" AND ");
  }

  #requireColumns(names: readonly string[]): void {
    const unknown = names.filter((name) => !this.#columns.has(name));
    if (unknown.length > 0) {
      throw new AfterimageError(
        "COLUMN_UNKNOWN",
        `Table ${this.name} of the view has no column ${unknown.join(", ")}.`,
        "Add the column to the view's table, or let the handler pass only the columns that the view keeps.",
      );
    }
  }

  #requireKey(names: readonly string[]): void {
    if (this.#primaryKey.length === 0) {
      throw new AfterimageError(
        "PRIMARY_KEY_MISSING",
        `Table ${this.name} of the view has no primary key, so a row can't be found again.`,
        "Declare one in `setup`, or write the table with tx.run (an FTS5 table has rowid).",
      );
    }
    const missing = this.#primaryKey.filter((name) => !names.includes(name));
    if (missing.length > 0) {
      throw new AfterimageError(
        "PRIMARY_KEY_MISSING",
        `A row for table ${this.name} of the view lacks ${missing.join(", ")} of the primary key.`,
        "Pass every column of the primary key of the view's table, by its name there.",
      );
    }
  }

  #bind(row: SqliteRow, names: readonly string[]): SQLInputValue[] {
    return names.map((name) => bindable(row[name], this.name, name));
  }
}

/** As SQLite stores it. A whole number is bound as INTEGER: as REAL it would read `7.0` in a TEXT column. */
function bindable(value: unknown, table: string, column: string): SQLInputValue {
  switch (typeof value) {
    case "string":
    case "bigint":
      return value;
    case "number":
      return Number.isSafeInteger(value) && !Object.is(value, -0) ? BigInt(value) : value;
    case "boolean":
      return value ? 1n : 0n;
    default:
      if (value === null || value instanceof Uint8Array) {
        return value;
      }
      throw new AfterimageError(
        "VALUE_UNSUPPORTED",
        `Column ${column} of ${table} was given ${value === undefined ? "undefined" : `a value of type ${typeof value}`}.`,
        "Pass a string, number, bigint, boolean, Uint8Array or null; leave a column out to keep its value.",
      );
  }
}
