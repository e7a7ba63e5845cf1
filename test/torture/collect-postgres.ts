// What Postgres knows of a history at its end: the audit, the order of commits, and the tables.
import pg from "pg";
import { tableTopic } from "../../src/event/identifier.ts";
import { canonicalOfOutput, JSON_TYPES } from "./canonical.ts";
import type { AuditRow, CatalogTable, Evidence, TableSpec, TextRow } from "./evidence.ts";
import { TEXT_SETTINGS } from "./workload/audit.ts";
import { createCommitOrder, dropCommitOrder, readCommitOrder } from "./workload/commit-order.ts";
import { CONSTANT_SUM, KEYLESS, SEEDED_SUM } from "./workload/setup.ts";

export type PostgresEvidence = Pick<
  Evidence,
  "tables" | "audit" | "commits" | "statuses" | "contents" | "catalog" | "constantSum"
>;

const ROWS_AT_ONCE = 500;

interface Described extends TableSpec {
  /** For SQL. */
  readonly relation: string;
  /** For each column the SQL of its text, as its type's output function prints it. */
  readonly outputs: readonly string[];
  readonly catalog: CatalogTable;
}

/** Rows share equal long values, which the audit holds many times over. */
class Pool {
  readonly #texts = new Map<string, string>();

  share(text: string | null): string | null {
    if (text === null || text.length < 200) return text;
    const known = this.#texts.get(text);
    if (known !== undefined) return known;
    this.#texts.set(text, text);
    return text;
  }
}

/** A connection under the settings that the text of values depends on. */
async function connect(url: string): Promise<pg.Client> {
  const options = Object.entries(TEXT_SETTINGS).map(([name, value]) => `-c ${name}=${value}`);
  const client = new pg.Client({ connectionString: url, options: options.join(" ") });
  client.on("error", () => undefined); // what is asked of it rejects
  await client.connect();
  return client;
}

async function withClient<T>(url: string, use: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = await connect(url);
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}

/** Before the first row is written. */
export const createOracleSlot = (url: string): Promise<void> => withClient(url, createCommitOrder);

export const dropOracleSlot = (url: string): Promise<void> => withClient(url, dropCommitOrder);

/** Every captured table (partitions, never their parents) as it is now. */
export function describeTables(
  url: string,
  { stream = "", partitions = 0 }: { stream?: string; partitions?: number } = {},
): Promise<TableSpec[]> {
  return withClient(url, (client) => describe(client, stream, partitions));
}

/** To be called when nothing is written any more: what it reads is of one moment, but for the order of commits. */
export function collectPostgres(
  url: string,
  { stream, partitions }: { stream: string; partitions: number },
): Promise<PostgresEvidence> {
  return withClient(url, async (client) => {
    const commits = await readCommitOrder(client);
    await client.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    const described = await describe(client, stream, partitions);
    const pool = new Pool();
    const audit = await readAudit(client, described, pool);
    const contents = new Map<string, TextRow[]>();
    for (const table of described) contents.set(table.table, await readRows(client, table, pool));
    const statuses = await readStatuses(client);
    await client.query("COMMIT");
    const tables = described.map(({ relation: _, outputs: __, catalog: ___, ...spec }): TableSpec => spec);
    const catalog = new Map(described.map((table) => [table.table, table.catalog]));
    return { tables, audit, commits, statuses, contents, catalog, constantSum: { ...CONSTANT_SUM, value: SEEDED_SUM } };
  });
}

const IDENTITIES = { d: "default", f: "full", i: "index", n: "nothing" } as const;

async function describe(client: pg.Client, stream: string, partitions: number): Promise<Described[]> {
  const { rows } = await client.query(`
    SELECT c.oid::int8 AS oid, public.audit_label(c.oid) AS table, c.oid::regclass::text AS relation, n.nspname AS schema, c.relname AS name,
           c.relreplident AS identity,
           (SELECT json_agg(json_build_object('name', a.attname, 'type', t.typname, 'oid', t.oid::int8, 'typmod', a.atttypmod,
                              'output', format('%s(%s)::text', t.typoutput, public.audit_quoted(a.attname))) ORDER BY a.attnum)
              FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '') AS columns,
           (SELECT json_agg(a.attname ORDER BY k.place)
              FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
              JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
             WHERE i.indrelid = c.oid AND k.place <= i.indnkeyatts
               AND CASE c.relreplident WHEN 'i' THEN i.indisreplident ELSE i.indisprimary END) AS key
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'r' AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
       AND c.oid NOT IN ('public.audit'::regclass, 'public.unrelated'::regclass)
     ORDER BY 1`);
  return rows.map(({ oid, table, relation, schema, name, identity, columns, key }): Described => {
    const all: { name: string; type: string; oid: number; typmod: number; output: string }[] = columns;
    return {
      table,
      topic: tableTopic(stream, schema, name),
      partitions,
      columns: all.map((column) => column.name),
      types: new Map(all.filter(({ type }) => JSON_TYPES.has(type)).map((column) => [column.name, column.type])),
      key: table === KEYLESS ? [] : (key ?? []),
      identity: IDENTITIES[identity as keyof typeof IDENTITIES],
      relation,
      outputs: all.map(({ output }) => output),
      catalog: { oid: Number(oid), columns: all.map(({ name, oid, typmod }) => ({ name, oid, typmod })) },
    };
  });
}

async function* batches(client: pg.Client, query: string): AsyncGenerator<(string | null)[][]> {
  await client.query(`DECLARE page NO SCROLL CURSOR FOR ${query}`);
  for (;;) {
    const { rows } = await client.query({ text: `FETCH ${ROWS_AT_ONCE} FROM page`, rowMode: "array" });
    if (rows.length === 0) break;
    yield rows;
  }
  await client.query("CLOSE page");
}

async function readAudit(client: pg.Client, tables: readonly TableSpec[], pool: Pool): Promise<AuditRow[]> {
  const types = new Map(tables.map(({ table, types }) => [table, types]));
  const audit: AuditRow[] = [];
  const query =
    "SELECT xid::text, ordinal::text, relation, operation, old::text, new::text FROM public.audit ORDER BY audit.ordinal";
  for await (const rows of batches(client, query)) {
    for (const [xid, ordinal, table, operation, old, now] of rows) {
      const typesOf = types.get(table!);
      if (typesOf === undefined) throw new Error(`The audit names ${table}, which is no table.`);
      audit.push({
        xid: xid!,
        ordinal: BigInt(ordinal!),
        table: table!,
        operation: operation as AuditRow["operation"],
        old: textRow(old!, typesOf, pool),
        new: textRow(now!, typesOf, pool),
      });
    }
  }
  return audit;
}

function textRow(json: string | null, types: TableSpec["types"], pool: Pool): TextRow | null {
  if (json === null) return null;
  // JSON.parse makes an own property of `__proto__`, and a Map knows no names of its own.
  const entries = Object.entries(JSON.parse(json) as Record<string, string | null>);
  return new Map(entries.map(([name, text]) => [name, pool.share(canonicalOfOutput(text, types.get(name)))]));
}

async function readRows(client: pg.Client, table: Described, pool: Pool): Promise<TextRow[]> {
  const found: TextRow[] = [];
  for await (const rows of batches(client, `SELECT ${table.outputs.join(", ")} FROM ONLY ${table.relation}`)) {
    for (const row of rows) {
      const pairs = table.columns.map((name, at): [string, string | null] => [
        name,
        pool.share(canonicalOfOutput(row[at]!, table.types.get(name))),
      ]);
      found.push(new Map(pairs));
    }
  }
  return found;
}

async function readStatuses(client: pg.Client): Promise<Map<string, string | null>> {
  const { rows } = await client.query({
    text: "SELECT xid::text, pg_xact_status(xid) FROM (SELECT DISTINCT xid FROM public.audit) AS audited",
    rowMode: "array",
  });
  return new Map(rows as [string, string | null][]);
}
