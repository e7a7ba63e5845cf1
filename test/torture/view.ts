// The process that keeps the view: mirrors every captured table into SQLite, and notes each sequence it applied in the
// same transaction, so that an event applied twice ends it. Argument: a JSON file of the form of `ViewSettings`.
import { readFileSync } from "node:fs";
import { createConsumer, type SqliteTransaction, sqliteStore, type WireRow } from "../../src/sdk/index.ts";

export interface ViewTable {
  readonly table: string;
  readonly columns: readonly string[];
  /** None for a keyless table. */
  readonly key: readonly string[];
}

export interface ViewSettings {
  readonly brokers: readonly string[];
  readonly stream: string;
  readonly file: string;
  readonly tables: readonly ViewTable[];
}

const quote = (name: string) => `"${name.replaceAll('"', '""')}"`;

function setupOf(tables: readonly ViewTable[]): string {
  const creates = tables.map(({ table, columns, key }) => {
    const primary = key.length === 0 ? "" : `, PRIMARY KEY (${key.map(quote).join(", ")})`;
    return `CREATE TABLE ${quote(table)} (${columns.map((column) => `${quote(column)} BLOB`).join(", ")}${primary})`;
  });
  return [...creates, "CREATE TABLE applied (sequence INTEGER PRIMARY KEY)"].join(";\n");
}

const plain = (value: unknown) => (typeof value === "boolean" ? Number(value) : value) as string | number | null;

/** Rows that are alike can't be told apart: an insert adds one, a delete takes one. */
function writeKeyless(tx: SqliteTransaction, table: string, row: WireRow, kind: "add" | "take"): void {
  const entries = Object.entries(row);
  const values = entries.map(([, value]) => plain(value));
  const names = entries.map(([name]) => quote(name));
  if (kind === "add") {
    tx.run(`INSERT INTO ${quote(table)} (${names.join(", ")}) VALUES (${names.map(() => "?").join(", ")})`, ...values);
    return;
  }
  const condition = names.map((name) => `${name} IS ?`).join(" AND ");
  const taken = tx.run(
    `DELETE FROM ${quote(table)} WHERE rowid = (SELECT rowid FROM ${quote(table)} WHERE ${condition} LIMIT 1)`,
    ...values,
  );
  if (Number(taken) !== 1) throw new Error(`A row of ${table} to delete is not in the view.`);
}

const settings: ViewSettings = JSON.parse(readFileSync(process.argv[2]!, "utf8"));
const consumer = createConsumer({
  kafka: { brokers: [...settings.brokers] },
  stream: settings.stream,
  group: "torture",
  store: sqliteStore(settings.file, { setup: setupOf(settings.tables) }),
  onCommit: ({ sequence }) => void process.stdout.write(`applied ${sequence}\n`),
});
for (const { table, key } of settings.tables) {
  const applied = (tx: SqliteTransaction, sequence: number) => tx.run("INSERT INTO applied VALUES (?)", sequence);
  if (key.length > 0) {
    consumer.register(table, {
      upsert: (row, { tx, event }) => {
        tx.upsert(table, row);
        applied(tx, event.sequence);
      },
      remove: (keyRow, { tx, event }) => {
        tx.delete(table, keyRow);
        applied(tx, event.sequence);
      },
      clear: ({ tx, event }) => {
        tx.clear(table);
        applied(tx, event.sequence);
      },
    });
  } else {
    consumer.register(table, (event, { tx }) => {
      if (event.operation === "truncate") tx.clear(table);
      if (event.operation === "delete" || event.operation === "update") writeKeyless(tx, table, event.before!, "take");
      if (event.operation === "insert" || event.operation === "update") writeKeyless(tx, table, event.after, "add");
      applied(tx, event.sequence);
    });
  }
}

process.once("SIGTERM", () => void consumer.stop());
try {
  await consumer.run();
} catch (error) {
  process.stderr.write(`${(error as { code?: string }).code ?? "INTERNAL"}: ${(error as Error).message}\n`);
  process.exitCode = 1;
}
