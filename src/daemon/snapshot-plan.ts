// Which tables a start has to read: those that are new to the stream and hold rows, or may. Asked before anything is
// streamed, so that the gaps stand before every event of these tables.
import type pg from "pg";
import type { CapturedTable } from "../capture/captured-table.ts";
import type { Config } from "../config/config.ts";
import { matchesTable } from "../config/table-patterns.ts";
import { AfterimageError, messageOf } from "../errors.ts";
import { formatTableName, parseTableName, quoteIdentifier } from "../event/identifier.ts";
import type { SnapshotState, TableSnapshot } from "../event/snapshot-state.ts";
import {
  type PublishedTable,
  readPublishedOids,
  readPublishedTables,
  type TableDescription,
} from "../source/catalog.ts";
import { errorCode, type LongQuery } from "../source/session.ts";
import { notAllowedToRead } from "../source/snapshot-reader.ts";
import { readWriters } from "../source/table-writers.ts";
import type { ServerFacts } from "./start-checks.ts";
import type { TableResolver } from "./table-resolver.ts";
import { toBeRead } from "./table-snapshot.ts";

/** A lock, or millions of dead rows, shall not hold up the start. */
const LOOK_MS = 10_000;
/** It took longer; or the table, or its schema, has another name by now or is gone. */
const UNSEEN = new Set(["57014", "42P01", "3F000"]);

/** `all`: empty tables too, since views may hold rows of them. Throws SNAPSHOT_NOT_ALLOWED. */
export async function planSnapshots(
  client: pg.Client,
  tables: readonly CapturedTable[],
  all = false,
): Promise<SnapshotState> {
  const state: TableSnapshot[] = [];
  for (const table of tables) {
    const { oid } = table.encoder.schema;
    // In this order: a writer that is over in between has left its rows for the look. Idle ones too: what they wrote
    // before the table was published is never streamed.
    const writers = await readWriters(client, oid, true);
    if ((await isEmpty(client, table)) && writers.length === 0 && !all) {
      continue;
    }
    state.push(toBeRead(table, { estimate: await estimateRows(client, oid), behind: true }));
  }
  return state;
}

/**
 * Tables that are new in the publication, among these or all (null), with which a start would read their rows: neither
 * they nor their names were in the stream before.
 */
export async function readUnread(
  client: pg.Client,
  { server: { publication }, resolver }: { server: Pick<ServerFacts, "publication">; resolver: TableResolver },
  { keyless, snapshot }: Pick<Config, "keyless" | "snapshot">,
  among: readonly number[] | null,
): Promise<PublishedTable[]> {
  if (snapshot === "never") {
    return [];
  }
  const recorded = resolver.latest();
  const candidates = await readPublishedOids(client, publication, among);
  const unknown = candidates.filter((candidate) => !recorded.some(({ oid }) => oid === candidate));
  const tables = unknown.length === 0 ? [] : await readPublishedTables(client, publication, unknown);
  return tables.filter((table) => {
    const name = formatTableName(table.schema, table.table);
    return (
      resolver.isCaptured(table) && !recorded.some((one) => one.table === name) && !haltsWhenWritten(table, keyless)
    );
  });
}

/** A start would halt over it, and a run goes on for as long as nobody writes to it. */
export function haltsWhenWritten(
  table: Pick<TableDescription, "schema" | "table" | "identity" | "primaryKey">,
  keyless: readonly string[],
): boolean {
  const { identity, primaryKey } = table;
  return identity === "f" && primaryKey?.immediate === false && !matchesTable(keyless, table.schema, table.table);
}

async function isEmpty(client: pg.Client, { encoder }: CapturedTable): Promise<boolean> {
  const { schema, table } = parseTableName(encoder.schema.table);
  const name = `${quoteIdentifier(schema)}.${quoteIdentifier(table)}`;
  try {
    // A policy would hide rows without a word.
    await client.query(`BEGIN READ ONLY; SET LOCAL row_security = off; SET LOCAL statement_timeout = ${LOOK_MS}`);
    const { rows } = await client.query(`SELECT EXISTS (SELECT FROM ${name}) AS filled`);
    return !rows[0].filled;
  } catch (error) {
    if (UNSEEN.has(errorCode(error) ?? "")) {
      return false; // reading it will tell
    }
    throw errorCode(error) === "42501" ? notAllowedToRead({ schema, table }, client.user, error) : error;
  } finally {
    await client.query("ROLLBACK");
  }
}

/** Null when the table was never looked at by VACUUM or ANALYZE. */
export async function estimateRows(client: pg.Client, oid: number): Promise<number | null> {
  const { rows } = await client.query(
    `SELECT sum(greatest(c.reltuples, 0))::bigint::text AS rows FROM pg_class c
      WHERE c.oid IN (SELECT $1::oid UNION SELECT relid FROM pg_partition_tree($1::oid)) AND c.reltuples >= 0`,
    [oid],
  );
  return rows[0].rows === null ? null : Number(rows[0].rows);
}

/** Throws SNAPSHOT_CONDITION when the server does not take it as a condition of this table. */
export async function checkCondition(
  client: pg.Client,
  { schema, table }: { schema: string; table: string },
  where: string | null,
): Promise<void> {
  if (where === null) {
    return;
  }
  try {
    const text = `EXPLAIN SELECT FROM ${quoteIdentifier(schema)}.${quoteIdentifier(table)} WHERE (${where}\n)`;
    // As a prepared statement, which holds one command.
    await client.query({ text, queryMode: "extended" } as unknown as LongQuery);
  } catch (error) {
    throw new AfterimageError(
      "SNAPSHOT_CONDITION",
      `Postgres does not take the condition (SQLSTATE ${errorCode(error)}): ${messageOf(error)}.`,
      "Give what could stand after WHERE, with names of columns of this table.",
      { cause: error },
    );
  }
}
