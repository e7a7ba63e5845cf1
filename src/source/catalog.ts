// What the catalogue says of the published tables, read over a plain SQL connection.
// https://www.postgresql.org/docs/current/catalogs.html
import type pg from "pg";
import { formatTableName } from "../event/identifier.ts";
import { type Lsn, parseLsn } from "../event/lsn.ts";
import type { ReplicaIdentity } from "../event/schema.ts";
import { errorCode } from "./session.ts";

export interface ServerIdentity {
  readonly systemId: string;
  readonly timeline: number;
  /** OID of the connected database. */
  readonly database: number;
  /** The server's insert position. */
  readonly insertLsn: Lsn;
  /** Such as 180004. */
  readonly version: number;
}

/** The immediate or deferrable index whose columns can make a record key. */
export interface KeyIndex {
  readonly columns: readonly string[];
  readonly immediate: boolean;
}

export interface TableDescription {
  readonly oid: number;
  readonly schema: string;
  readonly table: string;
  readonly identity: ReplicaIdentity;
  readonly publicationRel: number | null;
  readonly primaryKey: KeyIndex | null;
  /** The index of REPLICA IDENTITY USING INDEX. */
  readonly identityIndex: KeyIndex | null;
  /** Partitioned tables above it, nearest first. */
  readonly ancestors: readonly { readonly schema: string; readonly table: string }[];
  /** Where the WAL stood when this was read. */
  readonly readAt: Lsn;
  /** Of the xmins of its rows in pg_class and pg_attribute: other ones after whatever ALTER TABLE changes there. */
  readonly written: string;
  readonly partitioned: boolean;
}

/** A published table with the columns pgoutput will send, in its order. */
export interface PublishedTable extends TableDescription {
  readonly columns: readonly { readonly name: string; readonly typeOid: number; readonly typmod: number }[];
}

/** "could not open relation with OID": a table was dropped after the query had seen it in the catalogue. */
const RELATION_GONE = "XX000";
const MOST_ATTEMPTS = 10;

/** Asks again when a table went meanwhile. Not inside a transaction, which that would have ended. */
async function readMoving(client: pg.Client, text: string, values: unknown[]): Promise<pg.QueryResult> {
  for (let attempts = 1; ; attempts++) {
    try {
      return await client.query(text, values);
    } catch (error) {
      if (errorCode(error) !== RELATION_GONE || attempts === MOST_ATTEMPTS) {
        throw error;
      }
    }
  }
}

export async function readServerIdentity(client: pg.Client): Promise<ServerIdentity> {
  // pg_control_checkpoint().timeline_id would be the last checkpoint's; the WAL file's name has the current one.
  const { rows } = await client.query(
    `SELECT system_identifier::text AS "systemId",
            ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::bigint AS timeline,
            (SELECT oid FROM pg_database WHERE datname = current_database()) AS database,
            pg_current_wal_insert_lsn()::text AS "insertLsn",
            current_setting('server_version_num')::int AS version
       FROM pg_control_system()`,
  );
  const row = rows[0];
  return { ...row, timeline: Number(row.timeline), insertLsn: parseLsn(row.insertLsn) };
}

const DESCRIBE = `
  SELECT c.oid, n.nspname AS schema, c.relname AS table, c.relreplident AS identity,
         concat(c.xmin, '/', (SELECT sum(a.xmin::text::bigint) FROM pg_attribute a WHERE a.attrelid = c.oid)) AS written,
         c.relkind = 'p' AS partitioned,
         (SELECT pr.oid FROM pg_publication_rel pr
           WHERE pr.prpubid = $1 AND pr.prrelid IN (SELECT c.oid UNION SELECT relid FROM pg_partition_ancestors(c.oid))
           ORDER BY pr.oid LIMIT 1) AS rel,
         (SELECT pn.oid FROM pg_publication_namespace pn
           WHERE pn.pnpubid = $1 AND pn.pnnspid = c.relnamespace) AS namespace,
         pk.columns AS "pkColumns", pk.immediate AS "pkImmediate",
         ri.columns AS "riColumns", ri.immediate AS "riImmediate",
         (SELECT coalesce(json_agg(json_build_object('schema', an.nspname, 'table', ac.relname)), '[]')
            FROM pg_partition_ancestors(c.oid) pa
            JOIN pg_class ac ON ac.oid = pa.relid JOIN pg_namespace an ON an.oid = ac.relnamespace
           WHERE pa.relid <> c.oid) AS ancestors,
         pg_current_wal_insert_lsn()::text AS "readAt"
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN LATERAL (${indexColumns("i.indisprimary")}) pk ON true
    LEFT JOIN LATERAL (${indexColumns("i.indisreplident")}) ri ON true`;

// indkey holds the key columns in index order, then INCLUDE columns, which are no part of the key.
function indexColumns(which: string): string {
  return `
    SELECT array_agg(a.attname::text ORDER BY k.place) AS columns, bool_and(i.indimmediate) AS immediate
      FROM pg_index i
      CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
      JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
     WHERE i.indrelid = c.oid AND ${which} AND i.indisvalid AND k.place <= i.indnkeyatts
     HAVING count(*) > 0`;
}

/** Null when the table is no longer there. */
export async function describeTable(
  client: pg.Client,
  publication: number,
  oid: number,
): Promise<TableDescription | null> {
  return (await describeTables(client, publication, [oid]))[0] ?? null;
}

/** Those of the tables that are still there. */
export async function describeTables(
  client: pg.Client,
  publication: number,
  oids: readonly number[],
): Promise<TableDescription[]> {
  const { rows } = await client.query(`${DESCRIBE} WHERE c.oid = ANY ($2)`, [publication, oids]);
  return rows.map(toDescription);
}

/**
 * Every table the publication publishes now, or those of them that are asked for, with the columns that are sent, by
 * name. Generated ones never are before PostgreSQL 18, though 15 lists them.
 */
export async function readPublishedTables(
  client: pg.Client,
  publication: number,
  among: readonly number[] | null = null,
): Promise<PublishedTable[]> {
  const { rows } = await readMoving(
    client,
    `SELECT c.oid, (
        SELECT json_agg(json_build_object('name', a.attname, 'typeOid', a.atttypid::bigint, 'typmod', a.atttypmod) ORDER BY a.attnum)
          FROM pg_attribute a
         WHERE a.attrelid = c.oid AND a.attname = ANY (pt.attnames)
           AND (a.attgenerated = '' OR current_setting('server_version_num')::int >= 180000)) AS columns
       FROM pg_publication p
       JOIN pg_publication_tables pt ON pt.pubname = p.pubname
       JOIN pg_namespace n ON n.nspname = pt.schemaname
       JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = pt.tablename
      WHERE p.oid = $1${among === null ? "" : " AND c.oid = ANY ($2::oid[])"}
      ORDER BY n.nspname, c.relname`,
    among === null ? [publication] : [publication, among],
  );
  // In one query with the above, the planner describes all tables anew for each of them: minutes for some thousands.
  const oids = rows.map(({ oid }) => oid);
  const described = new Map((await describeTables(client, publication, oids)).map((table) => [table.oid, table]));
  return rows.flatMap(({ oid, columns }) => {
    const table = described.get(oid);
    return table === undefined ? [] : [{ ...table, columns: columns ?? [] }];
  });
}

/** OIDs of the tables that the publication publishes now, or of those of them that are asked for. */
export async function readPublishedOids(
  client: pg.Client,
  publication: number,
  among: readonly number[] | null,
): Promise<number[]> {
  const { rows } = await readMoving(
    client,
    `SELECT DISTINCT pt.relid AS oid FROM pg_publication p, LATERAL pg_get_publication_tables(p.pubname) pt
      WHERE p.oid = $1${among === null ? "" : " AND pt.relid = ANY ($2::oid[])"}`,
    among === null ? [publication] : [publication, among],
  );
  return rows.map(({ oid }) => oid);
}

/**
 * Tables that a publication can name: permanent, ordinary or partitioned, outside the system's schemas. Partitions are
 * left out: they are published through their root.
 */
export async function readCandidateTables(client: pg.Client, publication = 0): Promise<TableDescription[]> {
  const { rows } = await client.query(
    `${DESCRIBE}
      WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND NOT c.relispartition
        AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg_toast%'
      ORDER BY n.nspname, c.relname`,
    [publication],
  );
  return rows.map(toDescription);
}

/** Another text when a value of any enum was added or renamed, or an attribute of any composite type. */
export async function readTypesMark(client: pg.Client): Promise<string> {
  const { rows } = await client.query(
    `SELECT concat((SELECT md5(string_agg(concat(oid, ':', enumlabel), ',' ORDER BY oid)) FROM pg_enum),
                   (SELECT sum(c.xmin::text::bigint) FROM pg_class c WHERE c.relkind = 'c'),
                   (SELECT sum(a.xmin::text::bigint) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
                     WHERE c.relkind = 'c')) AS mark`,
  );
  return rows[0].mark ?? "";
}

/** OIDs of the partitions that hold rows. */
export async function readPartitions(client: pg.Client): Promise<number[]> {
  const { rows } = await client.query(
    "SELECT oid FROM pg_class WHERE relispartition AND relkind = 'r' AND relpersistence = 'p'",
  );
  return rows.map(({ oid }) => oid);
}

/** Names of the table's columns that are NOT NULL. */
export async function readNotNull(client: pg.Client, oid: number): Promise<ReadonlySet<string>> {
  const { rows } = await client.query(
    "SELECT attname::text AS name FROM pg_attribute WHERE attrelid = $1 AND attnum > 0 AND attnotnull AND NOT attisdropped",
    [oid],
  );
  return new Set(rows.map(({ name }) => name));
}

/** Names of types, with their schema when that is not pg_catalog; a type that is gone is named by its OID. */
export async function readTypeNames(client: pg.Client, oids: readonly number[]): Promise<ReadonlyMap<number, string>> {
  const { rows } = await client.query(
    `SELECT t.oid, t.typname AS name, n.nspname AS schema
       FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.oid = ANY ($1)`,
    [[...new Set(oids)]],
  );
  const names = new Map<number, string>(oids.map((oid) => [oid, `oid ${oid}`]));
  for (const { oid, name, schema } of rows) {
    names.set(oid, schema === "pg_catalog" ? name : formatTableName(schema, name));
  }
  return names;
}

// biome-ignore lint/suspicious/noExplicitAny: a row as the driver gives it
function toDescription(row: any): TableDescription {
  const index = (columns: string[] | null, immediate: boolean): KeyIndex | null =>
    columns === null ? null : { columns, immediate };
  return {
    oid: row.oid,
    schema: row.schema,
    table: row.table,
    identity: row.identity,
    publicationRel: row.rel ?? row.namespace ?? null,
    primaryKey: index(row.pkColumns, row.pkImmediate),
    identityIndex: index(row.riColumns, row.riImmediate),
    ancestors: row.ancestors,
    readAt: parseLsn(row.readAt),
    written: row.written,
    partitioned: row.partitioned,
  };
}
