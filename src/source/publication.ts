// The publication: which tables Postgres sends. Ours carries a comment; one without it is the user's and is never
// changed. https://www.postgresql.org/docs/current/sql-createpublication.html
import type pg from "pg";
import { formatTableName, quoteIdentifier } from "../event/identifier.ts";
import { failpoint } from "../failpoint.ts";
import { errorCode, type LongQuery, queryFailed } from "./session.ts";

/** Marks a publication as made by us. */
export const PUBLICATION_COMMENT = "made by afterimage";

export interface PublicationState {
  readonly oid: number;
  /**
   * The transaction that wrote its row of pg_publication: another one after ALTER PUBLICATION … SET, RENAME or OWNER.
   * Tables and schemas have rows of their own, and freezing keeps it.
   */
  readonly xmin: number;
  readonly ours: boolean;
  readonly allTables: boolean;
  readonly viaRoot: boolean;
  /** The operations it publishes. */
  readonly publishes: { insert: boolean; update: boolean; delete: boolean; truncate: boolean };
}

export interface TableName {
  readonly schema: string;
  readonly table: string;
}

/** Null when there is no publication of that name. */
export async function readPublication(client: pg.Client, publication: string): Promise<PublicationState | null> {
  const { rows } = await client.query(
    `SELECT oid, xmin::text AS xmin, obj_description(oid, 'pg_publication') IS NOT DISTINCT FROM $2 AS ours, puballtables AS "allTables",
            pubviaroot AS "viaRoot", pubinsert, pubupdate, pubdelete, pubtruncate
       FROM pg_publication WHERE pubname = $1`,
    [publication, PUBLICATION_COMMENT],
  );
  const row = rows[0];
  if (row === undefined) {
    return null;
  }
  const { pubinsert, pubupdate, pubdelete, pubtruncate, ...rest } = row;
  return {
    ...rest,
    xmin: Number(rest.xmin),
    publishes: { insert: pubinsert, update: pubupdate, delete: pubdelete, truncate: pubtruncate },
  };
}

/** OIDs of the tables the publication names one by one. */
export async function readNamedTables(client: pg.Client, publication: number): Promise<ReadonlySet<number>> {
  const { rows } = await client.query("SELECT prrelid AS oid FROM pg_publication_rel WHERE prpubid = $1", [
    publication,
  ]);
  return new Set(rows.map(({ oid }) => oid));
}

/** What another process's publication of the same name leads to: made before ours was begun, or while it was. */
const ALREADY_THERE = new Set(["42710", "23505"]); // duplicate_object, unique_violation

/**
 * What naming a table leads to that was there a moment ago: it, or its schema, is gone (undefined_table,
 * invalid_schema_name), it became UNLOGGED (invalid_parameter_value), or is in the publication by now.
 */
const OVERTAKEN = new Set(["42P01", "3F000", "22023", "42710"]);

/** Tables may be locked by a VACUUM or a migration: this is waited for. */
const LOCK_PATIENCE_MS = 600_000;

/** Makes our publication for exactly these tables. Resolves false when another process made one, or one of them went, meanwhile. */
export async function createPublication(
  client: pg.Client,
  publication: string,
  tables: readonly TableName[],
): Promise<boolean> {
  const name = quoteIdentifier(publication);
  try {
    await client.query("BEGIN");
    const making: LongQuery = {
      text: `CREATE PUBLICATION ${name}${tables.length === 0 ? "" : ` FOR TABLE ${tables.map(onlyTable).join(", ")}`}`,
      patienceMs: LOCK_PATIENCE_MS,
    };
    await client.query(making);
    await client.query(`COMMENT ON PUBLICATION ${name} IS '${PUBLICATION_COMMENT}'`);
    failpoint("publication.before-commit");
    await client.query("COMMIT");
    failpoint("publication.made");
    return true;
  } catch (error) {
    // On a connection that was lost it fails too; the loss itself is the error that counts.
    await client.query("ROLLBACK").catch(() => undefined);
    const code = errorCode(error) ?? "";
    if (ALREADY_THERE.has(code) || OVERTAKEN.has(code)) {
      return false;
    }
    throw queryFailed(`Making publication ${publication}`, error);
  }
}

/**
 * Adds tables to our publication, those left out that were dropped, renamed or added by somebody else meanwhile: whoever
 * looks again finds what there is to find. `lockMs`: how long it waits for their locks; by default as long as a start does.
 */
export async function addTables(
  client: pg.Client,
  publication: string,
  tables: readonly TableName[],
  lockMs?: number,
): Promise<void> {
  if (lockMs !== undefined) {
    await client.query(`SET lock_timeout = ${lockMs}`);
  }
  try {
    if (!(await add(client, publication, tables)) && tables.length > 1) {
      for (const table of tables) {
        await add(client, publication, [table]);
      }
    }
    failpoint("publication.tables-added");
  } finally {
    if (lockMs !== undefined) {
      await client.query("RESET lock_timeout");
    }
  }
}

/** All of them or, resolving false, none: one is not what it was. */
async function add(client: pg.Client, publication: string, tables: readonly TableName[]): Promise<boolean> {
  const adding: LongQuery = {
    text: `ALTER PUBLICATION ${quoteIdentifier(publication)} ADD TABLE ${tables.map(onlyTable).join(", ")}`,
    patienceMs: LOCK_PATIENCE_MS,
  };
  try {
    await client.query(adding);
    return true;
  } catch (error) {
    if (OVERTAKEN.has(errorCode(error) ?? "")) {
      return false;
    }
    throw queryFailed(
      `Adding ${tables.map(({ schema, table }) => formatTableName(schema, table)).join(", ")} to publication ${publication}`,
      error,
    );
  }
}

/** Drops the publication; nothing happens when it is already gone. */
export async function dropPublication(client: pg.Client, publication: string): Promise<void> {
  await client.query(`DROP PUBLICATION IF EXISTS ${quoteIdentifier(publication)}`);
}

// ONLY: a table that inherits matches by its own name or not at all.
function onlyTable({ schema, table }: TableName): string {
  return `ONLY ${quoteIdentifier(schema)}.${quoteIdentifier(table)}`;
}
