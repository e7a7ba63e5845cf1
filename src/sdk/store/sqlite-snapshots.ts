// Which tables of a view are between a gap and its sweep, and which rows were written since, in tables beside its rows.
import type { DatabaseSync } from "node:sqlite";
import type { OpenSnapshot } from "./store.ts";

export const SNAPSHOT_TABLES = `
  CREATE TABLE IF NOT EXISTS afterimage_snapshots (
    "stream" TEXT NOT NULL,
    "group" TEXT NOT NULL,
    "table" TEXT NOT NULL,
    "since" INTEGER NOT NULL,
    "leftovers" INTEGER NOT NULL,
    PRIMARY KEY ("stream", "group", "table")
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS afterimage_written (
    "source" TEXT NOT NULL,
    "table" TEXT NOT NULL,
    "row" TEXT NOT NULL,
    PRIMARY KEY ("source", "table", "row")
  ) STRICT, WITHOUT ROWID;`;

const quote = (name: string): string => `"${name.replaceAll('"', '""')}"`;

export class SqliteSnapshots {
  readonly #database: DatabaseSync;
  readonly #view: readonly [stream: string, group: string];
  #open = new Map<string, OpenSnapshot>();

  constructor(database: DatabaseSync, stream: string, group: string) {
    this.#database = database;
    this.#view = [stream, group];
    this.load();
  }

  /** What is stored: also to be called when a transaction was rolled back. */
  load(): void {
    const rows = this.#database
      .prepare(`SELECT "table", "since", "leftovers" FROM afterimage_snapshots WHERE "stream" = ? AND "group" = ?`)
      .all(...this.#view);
    this.#open = new Map(
      rows.map(({ table, since, leftovers }) => [
        table as string,
        { since: Number(since), leftovers: Number(leftovers) === 1 },
      ]),
    );
  }

  get(table: string): OpenSnapshot | null {
    return this.#open.size === 0 ? null : (this.#open.get(table) ?? null);
  }

  /** Belongs into the transaction that holds the rows. */
  set(table: string, snapshot: OpenSnapshot | null): void {
    this.#database.prepare("DELETE FROM afterimage_written WHERE source = ?").run(table);
    if (snapshot === null) {
      this.#open.delete(table);
      this.#database
        .prepare(`DELETE FROM afterimage_snapshots WHERE "stream" = ? AND "group" = ? AND "table" = ?`)
        .run(...this.#view, table);
      return;
    }
    this.#open.set(table, snapshot);
    this.#database
      .prepare("INSERT OR REPLACE INTO afterimage_snapshots VALUES (?, ?, ?, ?, ?)")
      .run(...this.#view, table, snapshot.since, snapshot.leftovers ? 1 : 0);
  }
}

/** Text that tells a row of the view by its primary key, as it is stored. */
export const rowNameSql = (primaryKey: readonly string[]): string =>
  primaryKey.map((name) => `quote(${quote(name)})`).join(" || ',' || ");
