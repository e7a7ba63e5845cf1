// Reads a chunk of a table in one short transaction: its snapshot, where the WAL stood then, and rows in the order of
// their key, as the types' output functions print them. Compared and sorted by the server alone: what comes after NaN,
// or after an accented letter, only its own operators know.
import type pg from "pg";
import { AfterimageError } from "../errors.ts";
import { formatTableName, quoteIdentifier } from "../event/identifier.ts";
import { type Lsn, parseLsn, toLsn } from "../event/lsn.ts";
import type { KeyTexts } from "../event/snapshot-state.ts";
import {
  DESCRIBE,
  type Described,
  type DescribedColumn,
  declareChunk,
  type ReadableTable,
  type RowsWanted,
  SIZES,
  selectEnds,
} from "./chunk-sql.ts";
import { checkDecoded, doubtfulPlaces, lengthOf } from "./decoded-rows.ts";
import { errorCode, type LongQuery, queryFailed } from "./session.ts";
import { Visibility } from "./visibility.ts";

/** The table as the chunk's transaction finds it. */
export interface ChunkStart {
  readonly sight: Visibility;
  /** Where the stream has to be before the rows may be put into it: all that the snapshot sees stands below. */
  readonly after: Lsn;
  /** ISO 8601, microseconds, UTC. */
  readonly timestamp: string;
  /** Differs when columns, types, collations, the key or the publication's filter have changed, or the table has left it. */
  readonly shape: string;
  readonly columns: Described["columns"];
}

export interface ChunkWanted extends RowsWanted {
  /** Published columns, in their order. */
  readonly columns: readonly string[];
  /** Null for all of them. */
  readonly maxRows: number | null;
  readonly maxBytes: number;
}

export interface RangeSample {
  readonly ends: readonly KeyTexts[];
  /** Estimated. */
  readonly rows: number;
}

export interface Chunk {
  /** Values in the order of the columns. */
  readonly rows: readonly (readonly (string | null)[])[];
  /** Nothing was left behind the last row. */
  readonly atEnd: boolean;
}

/** A lock that is not granted within this is asked for again: whoever waits behind us shall not wait long. */
const LOCK_MS = 2_000;
/** A table whose key has no fitting index is sorted for each chunk. */
const READ_MS = 3_600_000;
/** About as many pages are read to find out how the keys are spread. */
const SAMPLED_PAGES = 200;
const FIRST_FETCH = 50;
const LARGEST_FETCH = 5_000;

/** As the server prints them. */
const AS_TEXT = { getTypeParser: () => (text: string) => text } as unknown as pg.CustomTypesConfig;

export class SnapshotReader {
  readonly #client: pg.Client;
  readonly #publication: number;
  #described: Described | null = null;

  constructor(client: pg.Client, publication: number) {
    this.#client = client;
    this.#publication = publication;
  }

  /** Everything that the catalogue shows so far stands below. Not inside a chunk's transaction. */
  async position(): Promise<Lsn> {
    const { rows } = await this.#client.query("SELECT pg_current_wal_insert_lsn()::text AS lsn");
    return parseLsn(rows[0].lsn);
  }

  /**
   * Begins the chunk's transaction. The table is locked as any reader locks it, before the snapshot is taken: a rewrite
   * or a TRUNCATE in between would show it empty. Null when it is not there any more.
   * https://www.postgresql.org/docs/current/mvcc-caveats.html
   */
  async begin(table: ReadableTable): Promise<ChunkStart | null> {
    const name = `${quoteIdentifier(table.schema)}.${quoteIdentifier(table.table)}`;
    try {
      await this.#client.query(
        `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL row_security = off;
         SET LOCAL lock_timeout = ${LOCK_MS}; LOCK TABLE ${name} IN ACCESS SHARE MODE`,
      );
      const { rows } = await this.#client.query(DESCRIBE, [name, this.#publication]);
      const row = rows[0];
      if (row === undefined || row.oid !== table.oid) {
        await this.end();
        return null;
      }
      const { kind, filter, published, keys } = row;
      const found: ({ name: string } & DescribedColumn)[] = row.columns ?? []; // the last one may be dropped too
      const columns = new Map(found.map(({ name, ...column }) => [name, column]));
      this.#described = {
        kind,
        filter,
        columns,
        asciiOnly: row.encoding === "SQL_ASCII",
      };
      const lsn = parseLsn(row.lsn);
      return {
        sight: new Visibility(row.snapshot, lsn),
        after: withoutPageHeader(lsn, BigInt(row.block), BigInt(row.segment)),
        timestamp: row.timestamp,
        shape: JSON.stringify([kind, filter, published, found, keys]),
        columns,
      };
    } catch (error) {
      await this.end();
      if (errorCode(error) === "42P01" || errorCode(error) === "3F000") {
        return null;
      }
      throw this.#named(table, error);
    }
  }

  async read(table: ReadableTable, wanted: ChunkWanted): Promise<Chunk> {
    try {
      // As a prepared statement, which holds one command, whatever was given as a condition.
      const declare = {
        text: declareChunk(table, wanted, this.#described!),
        queryMode: "extended",
        patienceMs: READ_MS,
      };
      await this.#client.query(declare as LongQuery);
      return await this.#fetchChunk(table, wanted);
    } catch (error) {
      throw this.#named(table, error);
    }
  }

  /** Ends the transaction, and with it the lock. */
  async end(): Promise<void> {
    await this.#client.query("ROLLBACK");
  }

  /**
   * All rows in the order in which they lie, as the transaction that `begin` has opened sees them: some at a time, about
   * as many as `maxBytes` hold.
   */
  async *readAll(
    table: ReadableTable,
    { columns, maxBytes }: Pick<ChunkWanted, "columns" | "maxBytes">,
  ): AsyncGenerator<readonly (readonly (string | null)[])[]> {
    const all = { columns, key: [], after: null, upTo: null, keys: null, where: null, maxRows: null, maxBytes };
    try {
      await this.#client.query(declareChunk(table, all, this.#described!));
      const doubtful = doubtfulPlaces(columns, this.#described!);
      for (let ask = FIRST_FETCH; ; ) {
        const rows = await this.#fetch(ask);
        for (const row of rows) {
          checkDecoded(table, row, doubtful);
        }
        const bytes = rows.reduce((sum, row) => sum + lengthOf(row), 0);
        if (rows.length > 0) {
          yield rows;
        }
        if (rows.length < ask) {
          return;
        }
        ask = Math.max(1, Math.min(LARGEST_FETCH, Math.ceil(maxBytes / (bytes / rows.length + 1))));
      }
    } catch (error) {
      throw this.#named(table, error);
    }
  }

  /**
   * The last keys of all but the last of as many parts of a range as asked for, about equally large, and how many rows it
   * has, as a sample of the table tells both. In the transaction that `begin` has opened. Null when the table is not
   * larger than `smallest` bytes, or the sample has too few rows.
   */
  async sample(table: ReadableTable, wanted: RowsWanted, parts: number, smallest: number): Promise<RangeSample | null> {
    try {
      const { rows: sizes } = await this.#client.query(SIZES, [table.oid]);
      const { bytes, pages } = sizes[0];
      if (Number(bytes) <= smallest) {
        return null;
      }
      const percent = Math.min(100, (100 * SAMPLED_PAGES) / Number(pages));
      const text = selectEnds(table, wanted, this.#described!, { parts, percent });
      const sampled = { text, rowMode: "array", types: AS_TEXT, patienceMs: READ_MS };
      const { rows } = (await this.#client.query(sampled as unknown as LongQuery)) as unknown as { rows: string[][] };
      if (rows.length < parts) {
        return null;
      }
      const ends = rows.slice(0, -1).map(([, ...key]) => key);
      return { ends, rows: Math.round((Number(rows[0]![0]) * 100) / percent) };
    } catch (error) {
      throw this.#named(table, error);
    }
  }

  async #fetchChunk(table: ReadableTable, { columns, maxRows, maxBytes }: ChunkWanted): Promise<Chunk> {
    const doubtful = doubtfulPlaces(columns, this.#described!);
    const kept: (readonly (string | null)[])[] = [];
    let bytes = 0;
    let ask = FIRST_FETCH;
    for (;;) {
      const rows = await this.#fetch(ask);
      for (const row of rows) {
        checkDecoded(table, row, doubtful);
        if (bytes >= maxBytes) {
          return { rows: kept, atEnd: false };
        }
        bytes += lengthOf(row);
        kept.push(row);
      }
      if (rows.length < ask) {
        return { rows: kept, atEnd: kept.length < maxRows! };
      }
      if (bytes >= maxBytes) {
        return { rows: kept, atEnd: false };
      }
      const average = bytes / kept.length + 1;
      ask = Math.max(1, Math.min(LARGEST_FETCH, Math.ceil((maxBytes - bytes) / average)));
    }
  }

  async #fetch(count: number): Promise<readonly (readonly (string | null)[])[]> {
    const fetch = { text: `FETCH ${count} FROM chunk`, rowMode: "array", types: AS_TEXT, patienceMs: READ_MS };
    const { rows } = (await this.#client.query(fetch as unknown as LongQuery)) as unknown as {
      rows: (string | null)[][];
    };
    return rows;
  }

  #named({ schema, table }: ReadableTable, error: unknown): unknown {
    const code = errorCode(error);
    if (error instanceof AfterimageError || code === undefined || code === "55P03") {
      return error;
    }
    return code === "42501"
      ? notAllowedToRead({ schema, table }, this.#client.user, error)
      : queryFailed(`Reading table ${formatTableName(schema, table)}`, error);
  }
}

export function notAllowedToRead(
  { schema, table }: { schema: string; table: string },
  user: string | undefined,
  cause: unknown,
): AfterimageError {
  const [inSchema, of] = [quoteIdentifier(schema), `${quoteIdentifier(schema)}.${quoteIdentifier(table)}`];
  const to = quoteIdentifier(user ?? "the daemon's user");
  return new AfterimageError(
    "SNAPSHOT_NOT_ALLOWED",
    `The daemon's user may not read all rows of table ${formatTableName(schema, table)}.`,
    `GRANT USAGE ON SCHEMA ${inSchema} TO ${to}; GRANT SELECT ON ${of} TO ${to}; under row-level security the user needs BYPASSRLS. Or set snapshot: never.`,
    { cause },
  );
}

const SHORT_HEADER = 24n;
const LONG_HEADER = 40n;

/**
 * An insert position right behind a page's header is where the record before it ended, at the page's boundary; the
 * server will never say that it has sent more than that boundary before it writes the next record.
 */
export function withoutPageHeader(lsn: Lsn, blockBytes: bigint, segmentBytes: bigint): Lsn {
  const inPage = lsn % blockBytes;
  const header = (lsn - inPage) % segmentBytes === 0n ? LONG_HEADER : SHORT_HEADER;
  return inPage === header ? toLsn(lsn - header) : lsn;
}
