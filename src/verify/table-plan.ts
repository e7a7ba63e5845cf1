// Which tables are compared, with which columns, and how the server is asked for them.
import type pg from "pg";
import { AfterimageError } from "../errors.ts";
import { formatTableName, quoteIdentifier } from "../event/identifier.ts";
import type { TableSchema } from "../event/schema.ts";
import { describeTables, readPublishedTables, type TableDescription } from "../source/catalog.ts";
import { readPublication } from "../source/publication.ts";
import { type CanonicalSql, canonicalSql, type TokenColumn } from "./canonical.ts";
import type { Findings } from "./finding.ts";

export type Selects = (table: Pick<TableDescription, "schema" | "table" | "ancestors">) => boolean;

/** What somebody asked for by name: it must be there. */
export interface NamedTables {
  /** As it was written. */
  readonly pattern: string;
  readonly selects: Selects;
}

/** `publicationRel` of a schema record that says: the configuration excluded this table. */
const CAPTURE_ENDED = 0;

export interface CandidateTable {
  readonly schema: TableSchema;
  readonly described: TableDescription;
  /** SQL's name of exactly the rows that are published under this name. */
  readonly from: string;
}

export interface PlannedTable extends CandidateTable {
  /** Those of the schema record that the table still has, in its order; then those that are published by now. */
  readonly columns: readonly TokenColumn[];
  /** Names, in key order. */
  readonly key: readonly string[];
  readonly sql: CanonicalSql;
  /** The publication's row filter. */
  readonly filter: string | null;
}

/**
 * The shape of every table that was recorded last, without those that the configuration has excluded, and without the
 * former names of those that were renamed.
 */
export function inForce(schemas: Iterable<TableSchema>): TableSchema[] {
  const latest = new Map<string, TableSchema>();
  for (const schema of schemas) {
    latest.set(schema.table, schema);
  }
  const newest = new Map<number, number>();
  for (const { oid, schema } of latest.values()) {
    newest.set(oid, Math.max(newest.get(oid) ?? 0, schema));
  }
  return [...latest.values()].filter(
    ({ oid, schema, publicationRel }) => publicationRel !== CAPTURE_ENDED && newest.get(oid) === schema,
  );
}

/** The recorded tables that are there and wanted. Throws VERIFY_NOT_ALLOWED. */
export async function findTables(
  client: pg.Client,
  publication: number,
  recorded: readonly TableSchema[],
  selects: Selects,
  findings: Findings,
): Promise<CandidateTable[]> {
  const oids = recorded.map(({ oid }) => oid);
  const now = new Map((await describeTables(client, publication, oids)).map((table) => [table.oid, table]));
  const candidates: CandidateTable[] = [];
  for (const schema of recorded) {
    const described = now.get(schema.oid);
    if (described === undefined) {
      findings.addOnce("TABLE_GONE", `Table ${schema.table} was dropped; it is not compared.`, { table: schema.table });
      continue;
    }
    if (!selects(described)) {
      const what = `Table ${schema.table} is not among the chosen ones; it is not compared.`;
      findings.addOnce("TABLE_NOT_SELECTED", what, { table: schema.table });
      continue;
    }
    const name = formatTableName(described.schema, described.table);
    if (name !== schema.table) {
      const what = `Table ${schema.table} is called ${name} now; its rows are compared all the same.`;
      findings.addOnce("TABLE_LEFT", what, { table: schema.table });
    } else if (described.publicationRel === null && schema.publicationRel !== null) {
      const what = `Table ${schema.table} is not in the publication any more: what was written since is not in the stream.`;
      findings.addOnce("TABLE_LEFT", what, { table: schema.table });
    }
    candidates.push({ schema, described, from: "" });
  }
  const kinds = await readKinds(client, candidates);
  return candidates.map((candidate) => {
    const { schema, table } = candidate.described;
    // A table with children of old-style inheritance is published without their rows; a partitioned one has no own.
    const only = kinds.get(candidate.schema.oid) === "p" ? "" : "ONLY ";
    return { ...candidate, from: `${only}${quoteIdentifier(schema)}.${quoteIdentifier(table)}` };
  });
}

/**
 * With the shape of the table's last event. A daemon that is sent WAL again may have recorded older shapes after the one
 * that the last events have, which keeps its id.
 */
export function asLastTold(
  tables: readonly CandidateTable[],
  lastOf: (table: string) => TableSchema | undefined,
): CandidateTable[] {
  return tables.map((table) => {
    const last = lastOf(table.schema.table);
    const isSame = last !== undefined && last.oid === table.schema.oid && keyOf(last) === keyOf(table.schema);
    return isSame ? { ...table, schema: last } : table;
  });
}

const keyOf = ({ columns }: TableSchema): string =>
  JSON.stringify(columns.filter(({ key }) => key !== null).map(({ name, key }) => [name, key]));

async function readKinds(client: pg.Client, tables: readonly CandidateTable[]): Promise<ReadonlyMap<number, string>> {
  const { rows } = await client.query(
    `SELECT oid, relkind, current_user AS user,
            has_schema_privilege(relnamespace, 'USAGE') AND has_table_privilege(oid, 'SELECT') AS allowed
       FROM pg_class WHERE oid = ANY ($1)`,
    [tables.map(({ schema }) => schema.oid)],
  );
  const refused = rows.find(({ allowed }) => allowed === false);
  if (refused !== undefined) {
    const { described } = tables.find(({ schema }) => schema.oid === refused.oid)!;
    throw notAllowed(described, refused.user);
  }
  return new Map(rows.map(({ oid, relkind }) => [oid, relkind]));
}

export function notAllowed({ schema, table }: { schema: string; table: string }, user: string): AfterimageError {
  const [inSchema, of] = [quoteIdentifier(schema), `${quoteIdentifier(schema)}.${quoteIdentifier(table)}`];
  return new AfterimageError(
    "VERIFY_NOT_ALLOWED",
    `User ${user} may not read all rows of table ${formatTableName(schema, table)}.`,
    `GRANT USAGE ON SCHEMA ${inSchema} TO ${quoteIdentifier(user)}; GRANT SELECT ON ${of} TO ${quoteIdentifier(user)}; under row-level security the user needs BYPASSRLS. Or leave the table out with --tables.`,
  );
}

/** Inside the snapshot, so that the columns are those of the rows that it sees. */
export async function planTables(
  client: pg.Client,
  publication: { readonly name: string; readonly oid: number },
  tables: readonly CandidateTable[],
  findings: Findings,
): Promise<PlannedTable[]> {
  const { rows: columns } = await client.query(
    `SELECT attrelid AS oid, attname::text AS name, atttypid::bigint::text AS type FROM pg_attribute
      WHERE attrelid = ANY ($1) AND attnum > 0 AND NOT attisdropped ORDER BY attrelid, attnum`,
    [tables.map(({ schema }) => schema.oid)],
  );
  const { rows: filters } = await client.query(
    "SELECT schemaname AS schema, tablename AS table, rowfilter AS filter FROM pg_publication_tables WHERE pubname = $1",
    [publication.name],
  );
  const published = new Map(
    (await readPublishedTables(client, publication.oid)).map((table) => [
      table.oid,
      table.columns.map(({ name }) => name),
    ]),
  );
  const { rows: encoding } = await client.query("SELECT current_setting('server_encoding') = 'UTF8' AS utf8");
  return tables.flatMap((table) => {
    const { schema, described } = table;
    const there = new Map<string, number>(
      columns.filter(({ oid }) => oid === schema.oid).map(({ name, type }) => [name, Number(type)]),
    );
    const recorded = new Set(schema.columns.map(({ name }) => name));
    const shared = schema.columns.map(({ name }) => name).filter((name) => there.has(name));
    // No event has told of them yet, so whoever folds the topic has nothing there.
    const added = (published.get(schema.oid) ?? []).filter((name) => there.has(name) && !recorded.has(name));
    tellLeftOut(schema, [...shared, ...added], [...there.keys()], findings);
    const compared = [...shared, ...added].map((name) => ({ name, oid: there.get(name)! }));
    const key = schema.columns
      .filter((column) => column.key !== null)
      .sort((a, b) => a.key! - b.key!)
      .map(({ name, oid }) => ({ name, oid: there.get(name) ?? oid }));
    const obstacle = obstacleOf(
      key.map(({ name }) => name).filter((name) => !there.has(name)),
      key.length === 0 ? added : [],
    );
    if (obstacle !== null) {
      const what = `Table ${schema.table} was not compared: ${obstacle}.`;
      findings.add("TABLE_NOT_FOLDED", what, { table: schema.table });
      return [];
    }
    const filter = filters.find((each) => each.schema === described.schema && each.table === described.table)?.filter;
    return {
      ...table,
      columns: compared,
      key: key.map(({ name }) => name),
      sql: canonicalSql(compared, key, encoding[0].utf8),
      filter: filter ?? null,
    };
  });
}

/** Why rows of the stream and of the table can't be told to be the same; null when they can. */
function obstacleOf(lostKey: readonly string[], addedWithoutKey: readonly string[]): string | null {
  if (lostKey.length > 0) {
    return `its key column ${lostKey.join(", ")} is not in the table any more`;
  }
  return addedWithoutKey.length === 0
    ? null
    : `it has no key, and ${addedWithoutKey.join(", ")} came after its last event, so old rows can't be told from new ones`;
}

function tellLeftOut(
  { table, columns }: TableSchema,
  compared: readonly string[],
  there: readonly string[],
  findings: Findings,
): void {
  const names = new Set(compared);
  const more = there.filter((name) => !names.has(name));
  const fewer = columns.map(({ name }) => name).filter((name) => !names.has(name));
  const parts = [
    ...(more.length === 0 ? [] : [`${more.join(", ")} not in the stream (generated, or left out of the publication)`]),
    ...(fewer.length === 0 ? [] : [`${fewer.join(", ")} not in the table any more`]),
  ];
  if (parts.length > 0) {
    const what = `Columns of ${table} that are not compared: ${parts.join("; ")}.`;
    findings.add("COLUMNS_NOT_COMPARED", what, { table, columns: [...more, ...fewer] });
  }
}

/** Tables with rows that are published and wanted, and that the stream has no record of. Throws VERIFY_NOT_ALLOWED. */
export async function findUnseenTables(
  client: pg.Client,
  publication: number,
  recorded: readonly TableSchema[],
  selects: Selects,
): Promise<TableDescription[]> {
  const known = new Set(recorded.map(({ oid }) => oid));
  const unseen: TableDescription[] = [];
  for (const published of await readPublishedTables(client, publication)) {
    if (!known.has(published.oid) && selects(published)) {
      const name = `${quoteIdentifier(published.schema)}.${quoteIdentifier(published.table)}`;
      const { rows: rights } = await client.query(
        "SELECT has_schema_privilege($1, 'USAGE') AND has_table_privilege($2::oid, 'SELECT') AS allowed, current_user AS user",
        [published.schema, published.oid],
      );
      if (rights[0].allowed !== true) {
        throw notAllowed(published, rights[0].user);
      }
      const { rows } = await client.query(`SELECT EXISTS (SELECT FROM ${name}) AS filled`);
      if (rows[0].filled === true) {
        unseen.push(published);
      }
    }
  }
  return unseen;
}

export function tellUnseenTables(unseen: readonly TableDescription[], findings: Findings): void {
  for (const { schema, table: name } of unseen) {
    const table = formatTableName(schema, name);
    const what = `Table ${table} has rows, and the stream doesn't know the table: the daemon takes it up within seconds, or at its next start.`;
    findings.add("TABLE_UNSEEN", what, { table });
  }
}

/** A proof of nothing would read like one of everything. Throws VERIFY_NO_TABLES. */
export function demandTables(stream: string, there: readonly TableDescription[], named: readonly NamedTables[]): void {
  const missing = named.filter(({ selects }) => !there.some(selects)).map(({ pattern }) => pattern);
  if (missing.length > 0 || there.length === 0) {
    const which = missing.length === 0 ? "" : ` of ${missing.join(", ")}`;
    throw new AfterimageError(
      "VERIFY_NO_TABLES",
      `There is no table${which} to compare in stream ${stream}.`,
      "Tables are written as they are captured, schema.table: see afterimage status, and the tables that the configuration excludes. Without --against-database the stream is proved by itself.",
    );
  }
}

/** 0 when there is none: then no table is in it. */
export async function publicationOid(client: pg.Client, name: string): Promise<number> {
  return (await readPublication(client, name))?.oid ?? 0;
}
