// What a plain consumer made of the topics beside the tables themselves, byte for byte as text: the text is that of
// Postgres's own output functions, under the settings that docs/wire-format.md names.
import pg from "pg";
import { formatTableName, quoteIdentifier } from "../../src/event/identifier.ts";
import type { FoldedRow, FoldedStream, FoldedTable } from "./folded-stream.ts";

export interface Comparison {
  /** `table (rows)` each. */
  readonly equal: string[];
  /** What differs, one line a table. */
  readonly different: string[];
  /** Tables that the publication does not hold. */
  readonly left: string[];
  readonly rows: number;
}

const TEXT = { getTypeParser: () => (value: string) => value } as unknown as pg.CustomTypesConfig;
const PINNED =
  "SET datestyle = ISO; SET intervalstyle = postgres; SET bytea_output = hex; SET extra_float_digits = 3; SET timezone = UTC; SET lc_monetary = 'C'; SET search_path = ''; SET xmlbinary = base64; SET quote_all_identifiers = off";
const TABLES = `
  SELECT n.nspname AS schema, c.relname AS table, p.relid IS NOT NULL AS published,
         (SELECT json_agg(json_build_object('name', a.attname, 'type', coalesce(nullif(t.typbasetype, 0), t.oid)::int) ORDER BY a.attnum)
            FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
           WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '') AS columns
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN LATERAL (SELECT relid FROM pg_get_publication_tables($1) WHERE relid = c.oid) p ON true
   WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
   ORDER BY 1, 2`;

export async function compareTables(url: string, publication: string, { tables }: FoldedStream): Promise<Comparison> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const result: Comparison & { rows: number } = { equal: [], different: [], left: [], rows: 0 };
  try {
    const { rows: listed } = await client.query(TABLES, [publication]);
    await client.query(PINNED);
    for (const { schema, table, published, columns } of listed) {
      const name = formatTableName(schema, table);
      if (!published) {
        result.left.push(name);
        continue;
      }
      const list = ((columns ?? []) as Column[]).map((column) => quoteIdentifier(column.name)).join(", ");
      const query = `SELECT ${list} FROM ONLY ${quoteIdentifier(schema)}.${quoteIdentifier(table)}`;
      const { rows } = await client.query({ text: query, types: TEXT, rowMode: "array" } as pg.QueryArrayConfig);
      const difference = differ(columns ?? [], rows as (string | null)[][], tables.get(name));
      result.rows += rows.length;
      if (difference === null) result.equal.push(`${name} (${rows.length})`);
      else result.different.push(`${name}: ${difference}`);
    }
    return result;
  } finally {
    await client.end();
  }
}

interface Column {
  readonly name: string;
  readonly type: number;
}

const FLOATS = new Set([700, 701]);

function differ(columns: readonly Column[], want: (string | null)[][], table: FoldedTable | undefined): string | null {
  if (table?.open != null) return "its snapshot has no end";
  const folded = table === undefined ? [] : rowsOf(table);
  const wanted = want.map((row) => JSON.stringify(row.map((value, place) => ofServer(columns[place]!, value)))).sort();
  const got = folded.map((row) => JSON.stringify(columns.map((column) => ofTopic(column, row[column.name])))).sort();
  const [more, less] = [without(wanted, got), without(got, wanted)];
  if (more.length === 0 && less.length === 0) return null;
  const show = (rows: string[]) => rows.slice(0, 3).join(" ").slice(0, 600);
  return `table ${wanted.length}, topic ${got.length}; only in the table ${more.length}: ${show(more)}; only in the topic ${less.length}: ${show(less)}`;
}

function rowsOf({ keyed, bag }: FoldedTable): FoldedRow[] {
  const counted = [...bag].flatMap(([row, times]) => {
    if (times < 0) return [{ "less than none": row }];
    return Array.from({ length: times }, () => Object.fromEntries(JSON.parse(row)) as FoldedRow);
  });
  return [...[...keyed.values()].map(({ row }) => row), ...counted];
}

/** The elements of a sorted list that the other one lacks, as often as it lacks them. */
function without(list: string[], other: string[]): string[] {
  const left = new Map<string, number>();
  for (const one of other) left.set(one, (left.get(one) ?? 0) + 1);
  return list.filter((one) => {
    const times = left.get(one) ?? 0;
    left.set(one, times - 1);
    return times <= 0;
  });
}

/** Numbers of JSON have another text for the same bits. */
function ofServer({ type }: Column, value: string | null): string | null {
  return value !== null && FLOATS.has(type) ? float(value) : value;
}

function float(text: string): string {
  const number = Number(text);
  return Object.is(number, -0) ? "-0" : String(number);
}

/** A column that no event told of since it was added holds nothing. */
function ofTopic({ type }: Column, value: unknown): string | null {
  if (value === null || value === undefined) return null;
  if (typeof value === "boolean") return value ? "t" : "f";
  if (FLOATS.has(type)) return float(String(typeof value === "number" && Object.is(value, -0) ? "-0" : value));
  return typeof value === "string" ? value : String(value);
}
