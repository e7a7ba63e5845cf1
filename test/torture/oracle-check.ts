// Whether the oracle itself tells the truth: its audit, put together again, must be the tables, and it must say the same
// as the WAL. afterimage's daemon has no part in it.
import pg from "pg";
import { formatTableName } from "../../src/event/identifier.ts";
import { decodeMessage } from "../../src/pgoutput/decoder.ts";
import type { Relation, Tuple } from "../../src/pgoutput/messages.ts";
import { canonicalOfOutput } from "./canonical.ts";
import type { PostgresEvidence } from "./collect-postgres.ts";
import type { AuditRow, TextRow } from "./evidence.ts";
import { TEXT_SETTINGS } from "./workload/audit.ts";

/** In the order in which Postgres committed them, and within a transaction in the order in which it made them. */
export function inCommitOrder({ audit, commits }: Pick<PostgresEvidence, "audit" | "commits">): AuditRow[] {
  const byXid = Map.groupBy(audit, ({ xid }) => String(BigInt(xid) & 0xffff_ffffn));
  const ordered = commits.flatMap(({ xid }) => byXid.get(xid) ?? []);
  if (ordered.length !== audit.length)
    throw new Error(`${audit.length} audit rows, ${ordered.length} of them committed.`);
  return ordered;
}

/** Plays the audit into empty tables and compares them with the real ones; one sentence for each difference. */
export function foldDifferences(evidence: PostgresEvidence): string[] {
  const columns = new Map(evidence.tables.map(({ table, columns }) => [table, columns]));
  // A column that was added later is null in older rows, one that was dropped is in none.
  const text = (table: string, row: TextRow) =>
    JSON.stringify(columns.get(table)!.map((name) => row.get(name) ?? null));
  const folded = new Map<string, Map<string, number>>(evidence.tables.map(({ table }) => [table, new Map()]));
  const differences: string[] = [];
  const add = (table: string, row: TextRow, count: number, what: string) => {
    const rows = folded.get(table)!;
    const key = text(table, row);
    const now = (rows.get(key) ?? 0) + count;
    if (now < 0) differences.push(`${table}: ${what} takes a row away that is not there: ${key.slice(0, 300)}`);
    if (now <= 0) rows.delete(key);
    else rows.set(key, now);
  };
  for (const { table, operation, ordinal, old, new: row } of inCommitOrder(evidence)) {
    if (operation === "truncate") folded.get(table)!.clear();
    if (old !== null) add(table, old, -1, `${operation} ${ordinal}`);
    if (row !== null) add(table, row, 1, `${operation} ${ordinal}`);
  }
  for (const [table, rows] of evidence.contents) {
    for (const row of rows) add(table, row, -1, "the table");
    for (const key of folded.get(table)!.keys()) differences.push(`${table} lacks ${key.slice(0, 300)}`);
  }
  return differences;
}

/** A change as one line: xid, table, operation and the new row, or the old one as far as the WAL has it. */
type Line = string;

/** A slot and a publication of all tables but those two, to read the same changes from the WAL. */
export class WalWitness {
  readonly #client: pg.Client;

  private constructor(client: pg.Client) {
    this.#client = client;
  }

  static async create(url: string): Promise<WalWitness> {
    const options = Object.entries(TEXT_SETTINGS).map(([name, value]) => `-c ${name}=${value}`);
    const client = new pg.Client({ connectionString: url, options: options.join(" ") });
    await client.connect();
    const { rows } = await client.query(`
      SELECT string_agg(c.oid::regclass::text, ', ') AS tables FROM pg_class c
       WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace IN ('public'::regnamespace, '"odd.schema"'::regnamespace)
         AND c.relname NOT IN ('audit', 'unrelated')`);
    await client.query(`CREATE PUBLICATION torture_witness FOR TABLE ${rows[0].tables}`);
    await client.query(
      "SELECT pg_create_logical_replication_slot('torture_witness_' || current_database(), 'pgoutput')",
    );
    return new WalWitness(client);
  }

  /** Where WAL and audit differ; a line for each transaction that does. */
  async differences(evidence: PostgresEvidence): Promise<string[]> {
    const { rows } = await this.#client.query({
      text: `SELECT data FROM pg_logical_slot_peek_binary_changes('torture_witness_' || current_database(), NULL, NULL,
               'proto_version', '1', 'publication_names', 'torture_witness')`,
      rowMode: "array",
    });
    const wal = walLines(
      rows.map(([data]) => data),
      evidence,
    );
    const audit = Map.groupBy(inCommitOrder(evidence), ({ xid }) => String(BigInt(xid) & 0xffff_ffffn));
    const differences: string[] = [];
    const told = evidence.commits.map(({ xid, commitLsn }) => `${xid} at ${commitLsn}`);
    const seen = [...wal].map(([xid, { commitLsn }]) => `${xid} at ${commitLsn}`);
    const other = seen.findIndex((commit, at) => commit !== told[at]);
    if (other >= 0 || told.length !== seen.length) {
      differences.push(
        `commit ${other + 1} of ${seen.length}: order ${told[other]} of ${told.length}, WAL ${seen[other]}`,
      );
    }
    for (const [xid, changes] of audit) {
      const expected = changes.map((change) => lineOf(change));
      const found = wal.get(xid)?.lines ?? [];
      const at = expected.findIndex((line, place) => !matches(line, found[place]));
      if (at >= 0) differences.push(`xid ${xid}, change ${at + 1}: audit ${expected[at]}, WAL ${found[at]}`);
      else if (found.length > expected.length)
        differences.push(`xid ${xid}: the WAL has ${found[expected.length]} as well`);
    }
    return differences;
  }

  close(): Promise<void> {
    return this.#client.end();
  }
}

const UNSENT = "\u0000";

function lineOf({ table, operation, old, new: row }: AuditRow): Line {
  const shown = row ?? old;
  return JSON.stringify([table, operation, shown === null ? null : [...shown].sort(byName)]);
}

const byName = ([a]: readonly [string, unknown], [b]: readonly [string, unknown]) => (a < b ? -1 : 1);

/** What the WAL leaves out can't differ. */
function matches(audit: Line, wal: Line | undefined): boolean {
  if (wal === undefined || audit === wal) return audit === wal;
  const [a, b] = [JSON.parse(audit), JSON.parse(wal)];
  return (
    a[0] === b[0] &&
    a[1] === b[1] &&
    a[2]?.length === b[2]?.length &&
    a[2].every(
      ([name, text]: string[], at: number) => name === b[2][at][0] && (b[2][at][1] === UNSENT || text === b[2][at][1]),
    )
  );
}

interface WalTransaction {
  readonly commitLsn: bigint;
  readonly lines: Line[];
}

function walLines(messages: readonly Buffer[], { tables }: PostgresEvidence): Map<string, WalTransaction> {
  const types = new Map(tables.map(({ table, types }) => [table, types]));
  const relations = new Map<number, Relation>();
  const transactions = new Map<string, WalTransaction>();
  let lines: Line[] = [];
  const name = (oid: number) => formatTableName(relations.get(oid)!.schema, relations.get(oid)!.table);
  const push = (oid: number, operation: string, tuple: Tuple | null, keyOnly = false) => {
    const typesOf = types.get(name(oid))!;
    const row = tuple?.map((value, at): [string, string | null] => {
      const column = relations.get(oid)!.columns[at]!;
      const unsent = typeof value === "symbol" || (keyOnly && !column.identity);
      return [column.name, unsent ? UNSENT : canonicalOfOutput(value, typesOf.get(column.name))];
    });
    lines.push(JSON.stringify([name(oid), operation, row?.sort(byName) ?? null]));
  };
  for (const bytes of messages) {
    const message = decodeMessage(bytes);
    switch (message.kind) {
      case "begin":
        lines = [];
        transactions.set(String(message.xid), { commitLsn: message.commitLsn, lines });
        break;
      case "relation":
        relations.set(message.oid, message);
        break;
      case "insert":
      case "update":
        push(message.relation, message.kind, message.new);
        break;
      case "delete":
        push(message.relation, "delete", message.old.values, message.old.form === "key");
        break;
      case "truncate":
        for (const oid of message.relations) push(oid, "truncate", null);
        break;
      default:
    }
  }
  return transactions;
}
