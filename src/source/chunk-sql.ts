// The SQL by which a snapshot reads a table: what it is now, some of its rows in the order of their key, and a sample of
// its keys.
import pg from "pg";
import { AfterimageError } from "../errors.ts";
import { formatTableName, quoteIdentifier } from "../event/identifier.ts";
import type { KeyTexts } from "../event/snapshot-state.ts";

export interface ReadableTable {
  readonly oid: number;
  readonly schema: string;
  readonly table: string;
}

/** Which rows: those of a range of keys, or those with one of the keys. */
export interface RowsWanted {
  readonly key: readonly string[];
  /** Behind this key; null from the first row on. */
  readonly after: KeyTexts | null;
  /** Up to this key, which is included; null to the last row. */
  readonly upTo: KeyTexts | null;
  readonly keys: readonly KeyTexts[] | null;
  readonly where: string | null;
}

/** A row of pg_attribute. */
export interface DescribedColumn {
  /** The type's name, as SQL. */
  readonly type: string;
  readonly oid: number;
  /** 0 for a type that has none. */
  readonly collation: number;
}

/** What the chunk's transaction finds of the table. */
export interface Described {
  readonly kind: string;
  readonly filter: string | null;
  readonly columns: ReadonlyMap<string, DescribedColumn>;
  readonly asciiOnly: boolean;
}

export function declareChunk(
  table: ReadableTable,
  wanted: RowsWanted & { readonly columns: readonly string[]; readonly maxRows: number | null },
  described: Described,
): string {
  const { columns, key, maxRows } = wanted;
  return `DECLARE chunk NO SCROLL CURSOR FOR
    SELECT ${columns.map(quoteIdentifier).join(", ")}
      FROM ${nameOf(table, described)}
     ${conditionsOf(table, wanted, described)}
     ${key.length === 0 ? "" : `ORDER BY ${key.map(quoteIdentifier).join(", ")}`}
     ${maxRows === null ? "" : `LIMIT ${maxRows}`}`;
}

/**
 * Of a sample of the range's rows, in the order of their key and cut into `parts` of about the same size: for each part
 * the number of all rows in the sample, and its last key.
 * https://www.postgresql.org/docs/current/sql-select.html#SQL-FROM (TABLESAMPLE)
 */
export function selectEnds(
  table: ReadableTable,
  wanted: RowsWanted,
  described: Described,
  { parts, percent }: { readonly parts: number; readonly percent: number },
): string {
  const columns = wanted.key.map(quoteIdentifier);
  const names = columns.map((_, at) => `k${at}`);
  return `SELECT total, ${names.join(", ")}
    FROM (SELECT DISTINCT ON (part) part, total, ${names.join(", ")}
            FROM (SELECT ${columns.map((column, at) => `${column} AS ${names[at]}`).join(", ")},
                         count(*) OVER () AS total, row_number() OVER ordered AS place,
                         ntile(${parts}) OVER ordered AS part
                    FROM ${nameOf(table, described)} TABLESAMPLE SYSTEM (${percent})
                    ${conditionsOf(table, wanted, described)}
                  WINDOW ordered AS (ORDER BY ${columns.join(", ")})) AS sampled
           ORDER BY part, place DESC) AS ends
   ORDER BY part`;
}

const nameOf = ({ schema, table }: ReadableTable, { kind }: Described): string =>
  `${kind === "p" ? "" : "ONLY "}${quoteIdentifier(schema)}.${quoteIdentifier(table)}`;

function conditionsOf(
  table: ReadableTable,
  { key, after, upTo, keys, where }: RowsWanted,
  described: Described,
): string {
  const tuple = `(${key.map(quoteIdentifier).join(", ")})`;
  const values = (texts: KeyTexts) =>
    `(${key.map((name, at) => `${pg.escapeLiteral(texts[at]!)}::${columnOf(table, name, described).type}`).join(", ")})`;
  const conditions = [
    ...(after === null ? [] : [`${tuple} > ${values(after)}`]),
    ...(upTo === null ? [] : [`${tuple} <= ${values(upTo)}`]),
    ...(keys === null ? [] : [`${tuple} IN (${keys.map(values).join(", ")})`]),
    ...[described.filter, where].flatMap((condition) => (condition === null ? [] : [`(${condition}\n)`])),
  ];
  return conditions.length === 0 ? "" : `WHERE ${conditions.join(" AND ")}`;
}

/** Bytes of a table with its values out of line, and the pages of its rows; of a partitioned one in all partitions. */
export const SIZES = `
  SELECT sum(pg_table_size(c.oid)) AS bytes,
         sum(greatest(pg_relation_size(c.oid), 1) / current_setting('block_size')::numeric) AS pages
    FROM pg_class c
   WHERE c.oid IN (SELECT $1::oid UNION SELECT relid FROM pg_partition_tree($1::oid)) AND c.relkind = 'r'`;

// What a schema record says of a table is not enough: types by their name, and the publication's row filter. One that
// publishes the whole schema or database has none.
export const DESCRIBE = `
  SELECT pg_current_snapshot()::text AS snapshot, pg_current_wal_insert_lsn()::text AS lsn,
         to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS timestamp,
         current_setting('wal_block_size') AS block, current_setting('server_encoding') AS encoding,
         (SELECT setting FROM pg_settings WHERE name = 'wal_segment_size') AS segment,
         c.oid, c.relkind AS kind,
         (SELECT p.puballtables
                 OR EXISTS (SELECT FROM pg_publication_rel pr WHERE pr.prpubid = p.oid
                               AND pr.prrelid IN (SELECT c.oid UNION SELECT relid FROM pg_partition_ancestors(c.oid)))
                 OR EXISTS (SELECT FROM pg_publication_namespace pn
                             WHERE pn.pnpubid = p.oid AND pn.pnnspid = c.relnamespace)
            FROM pg_publication p WHERE p.oid = $2) AS published,
         (SELECT json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, -1), 'oid', a.atttypid::bigint,
                                            'typmod', a.atttypmod, 'collation', a.attcollation::bigint) ORDER BY a.attnum)
            FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
         (SELECT json_agg(json_build_array(c.relreplident, i.indisprimary, i.indisreplident, i.indkey::text) ORDER BY i.indexrelid)
            FROM pg_index i WHERE i.indrelid = c.oid AND (i.indisprimary OR i.indisreplident)) AS keys,
         (SELECT pg_get_expr(pr.prqual, pr.prrelid)
            FROM pg_publication_rel pr JOIN pg_publication p ON p.oid = pr.prpubid
           WHERE pr.prpubid = $2 AND pr.prrelid = c.oid AND NOT p.puballtables
             AND NOT EXISTS (SELECT FROM pg_publication_namespace pn
                              WHERE pn.pnpubid = $2 AND pn.pnnspid = c.relnamespace)) AS filter
    FROM pg_class c WHERE c.oid = $1::regclass`;

/**
 * Name, type and collation of each column by which rows are sorted: of another order, neither a cursor nor a border of a
 * range says anything. Throws SNAPSHOT_KEY_GONE.
 */
export function orderOf(table: ReadableTable, key: readonly string[], described: Pick<Described, "columns">): string[] {
  return key.map((name) => {
    const { oid, collation } = columnOf(table, name, described);
    return `${name}:${oid}:${collation}`;
  });
}

function columnOf(
  { schema, table }: ReadableTable,
  name: string,
  { columns }: Pick<Described, "columns">,
): DescribedColumn {
  const column = columns.get(name);
  if (column === undefined) {
    throw new AfterimageError(
      "SNAPSHOT_KEY_GONE",
      `Table ${formatTableName(schema, table)} has no column ${name}, by which its snapshot sorts the rows.`,
      "Start again: the table is looked at anew. If it halts so again, something alters the table all the time: let that end first.",
    );
  }
  return column;
}
