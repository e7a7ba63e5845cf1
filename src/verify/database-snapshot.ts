// The database as one snapshot sees it: checksums of buckets computed by the server, and the rows of some of them.
import type pg from "pg";
import { AfterimageError } from "../errors.ts";
import { type Lsn, parseLsn } from "../event/lsn.ts";
import { closeSql, errorCode, type LongQuery, queryFailed } from "../source/session.ts";
import { Visibility } from "../source/visibility.ts";
import { KEY_BYTES } from "./key-index.ts";
import { type CandidateTable, notAllowed, type PlannedTable } from "./table-plan.ts";

export const BUCKETS = 0x10000;

/** Number of rows, and sums of two 64-bit halves of their digests: the same whatever the order. */
export interface BucketSum {
  rows: bigint;
  high: bigint;
  low: bigint;
}

export interface DatabaseRow {
  readonly key: Buffer;
  readonly content: string;
  /** More than 1 only for a table without a key. */
  readonly count: number;
  /** The key's tokens; only where it was asked for. */
  readonly shown: string | null;
}

const LONG_MS = 7 * 86_400_000;
const ROWS_AT_ONCE = 2_000;

/** What is committed now, without holding it. */
export async function lookAtSnapshot(client: pg.Client): Promise<Visibility> {
  // The select list is computed after the statement's snapshot was taken, so the position is not below it.
  const { rows } = await client.query(
    "SELECT pg_current_snapshot()::text AS snapshot, pg_current_wal_insert_lsn()::text AS lsn",
  );
  return new Visibility(rows[0].snapshot, parseLsn(rows[0].lsn) as Lsn);
}

export class DatabaseSnapshot {
  readonly visibility: Visibility;
  readonly #client: pg.Client;

  private constructor(client: pg.Client, visibility: Visibility) {
    this.#client = client;
    this.visibility = visibility;
  }

  /**
   * Tables are locked (ACCESS SHARE, as any reader's) before the snapshot is taken: a TRUNCATE that came in between
   * would show them empty to a snapshot that should still see their rows.
   * https://www.postgresql.org/docs/current/mvcc-caveats.html
   */
  static async take(client: pg.Client, tables: readonly CandidateTable[]): Promise<DatabaseSnapshot> {
    try {
      // A client that is gone shall end the statement it left behind; not every platform can.
      await client.query("SET client_connection_check_interval = '5s'").catch(() => undefined);
      await client.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
      // A policy that hides rows becomes an error.
      await client.query("SET LOCAL row_security = off");
      await client.query("SET LOCAL lock_timeout = '60s'");
      if (tables.length > 0) {
        const locking: LongQuery = {
          text: `LOCK TABLE ${tables.map(({ from }) => from).join(", ")} IN ACCESS SHARE MODE`,
          patienceMs: LONG_MS,
        };
        await client.query(locking);
      }
      return new DatabaseSnapshot(client, await lookAtSnapshot(client));
    } catch (error) {
      throw queryFailed("Taking a snapshot of the tables", error);
    }
  }

  get client(): pg.Client {
    return this.#client;
  }

  async sums(table: PlannedTable): Promise<Map<number, BucketSum>> {
    const text = `
      SELECT get_byte(k, 0) * 256 + get_byte(k, 1) AS bucket, count(*)::text AS rows,
             sum(('x' || encode(substr(d, 1, 8), 'hex'))::bit(64)::bigint)::text AS high,
             sum(('x' || encode(substr(d, 9, 8), 'hex'))::bit(64)::bigint)::text AS low
        FROM (${digests(table)}) digests GROUP BY 1`;
    const { rows } = await this.#query(table, text);
    return new Map(
      rows.map(({ bucket, rows: count, high, low }) => [
        bucket,
        { rows: BigInt(count), high: BigInt(high), low: BigInt(low) },
      ]),
    );
  }

  /** The rows of these buckets in the order of their keys' digests. */
  async *rows(table: PlannedTable, buckets: readonly number[], showKeys: boolean): AsyncGenerator<DatabaseRow> {
    const all = buckets.length > BUCKETS / 4;
    const where = all ? "" : ` WHERE get_byte(k, 0) * 256 + get_byte(k, 1) IN (${buckets.join(", ")})`;
    // A keyless table's rows are nobody's keys.
    const shown = showKeys && table.sql.key !== null ? "shown" : "NULL::text";
    // Groups have one row each where there is a key.
    await this.#query(
      table,
      `DECLARE differing NO SCROLL CURSOR FOR
       SELECT substr(k, 1, ${KEY_BYTES}) AS key, content, min(${shown}) AS shown, count(*)::int AS count
         FROM (${digests(table)}) digests${where} GROUP BY 1, 2 ORDER BY 1, 2`,
    );
    for (;;) {
      const { rows } = await this.#query(table, `FETCH ${ROWS_AT_ONCE} FROM differing`);
      yield* rows as unknown as DatabaseRow[];
      if (rows.length < ROWS_AT_ONCE) {
        break;
      }
    }
    await this.#query(table, "CLOSE differing");
  }

  async close(): Promise<void> {
    await closeSql(this.#client);
  }

  // biome-ignore lint/suspicious/noExplicitAny: rows as the driver gives them
  async #query(table: PlannedTable, text: string): Promise<{ rows: Record<string, any>[] }> {
    try {
      const asking: LongQuery = { text, patienceMs: LONG_MS };
      return await this.#client.query(asking);
    } catch (error) {
      if (errorCode(error) === "42501") {
        throw notAllowed(table.described, this.#client.user ?? "");
      }
      throw error instanceof AfterimageError ? error : queryFailed(`Reading table ${table.schema.table}`, error);
    }
  }
}

// OFFSET 0 keeps the planner from pulling the subqueries up and computing what they give once for each use.
function digests({ from, sql, filter }: PlannedTable): string {
  const inner = `
    SELECT ${sql.row} AS content, ${sql.key ?? "NULL::text"} AS shown
      FROM ${from} AS t CROSS JOIN LATERAL (SELECT ${sql.values} OFFSET 0) AS v${filter === null ? "" : ` WHERE ${filter}`} OFFSET 0`;
  return `
    SELECT content, shown, d, ${sql.key === null ? "d" : "sha256(convert_to(shown, 'UTF8'))"} AS k
      FROM (SELECT content, shown, sha256(convert_to(content, 'UTF8')) AS d FROM (${inner}) texts OFFSET 0) hashed OFFSET 0`;
}
