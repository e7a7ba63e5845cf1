// Reads the view's file: while it is being written, and at the end.
import { existsSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { canonicalText } from "./canonical.ts";
import type { Contents, TableSpec, TextRow, ViewLook } from "./evidence.ts";

const quote = (name: string) => `"${name.replaceAll('"', '""')}"`;

function withView<T>(file: string, read: (view: DatabaseSync) => T): T {
  const view = new DatabaseSync(file, { readOnly: true, timeout: 5_000 });
  try {
    return read(view);
  } finally {
    view.close();
  }
}

/** How many events are noted as applied. */
export function appliedCount(file: string): number {
  if (!isMade(file)) return 0;
  return withView(file, (view) => Number(view.prepare("SELECT count(*) AS n FROM applied").get()!.n));
}

/** The store makes the file before the tables. */
function isMade(file: string): boolean {
  return (
    existsSync(file) &&
    withView(file, (view) => view.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'applied'").get() !== undefined)
  );
}

export function readView(file: string, tables: readonly TableSpec[]): Contents {
  return withView(file, (view) => {
    return new Map(tables.map((table) => [table.table, rowsOf(view, table).map((row) => textRow(table, row))]));
  });
}

/** As arrays: a column may be named `__proto__`. */
function rowsOf(view: DatabaseSync, { table, columns }: TableSpec): unknown[][] {
  const statement = view.prepare(`SELECT ${columns.map(quote).join(", ")} FROM ${quote(table)}`);
  statement.setReturnArrays(true);
  return statement.all() as unknown as unknown[][];
}

function textRow({ columns, types }: TableSpec, values: readonly unknown[]): TextRow {
  return new Map(
    columns.map((column, index) => {
      const type = types.get(column);
      const value = values[index];
      // SQLite has no booleans: the SDK writes 0 and 1.
      const wire = type === "bool" && value !== null ? value === 1 : value;
      return [column, canonicalText(wire, type)];
    }),
  );
}

/** One transaction's look at the lists; null while there is nothing to see. */
export function lookAtView(file: string, at: number): ViewLook | null {
  if (!isMade(file)) return null;
  const rows = withView(file, (view) => view.prepare(`SELECT id, elements FROM ${quote("public.lists")}`).all());
  // The SDK of today promises order per key: a sum over keys may be some events apart.
  return { at, sum: null, lists: new Map(rows.map(({ id, elements }) => [String(id), elementsOf(String(elements))])) };
}

/** `{1-2,3-4}`: digits and hyphens need no quotes in an array's text. */
function elementsOf(array: string): string[] {
  return array === "{}" ? [] : array.slice(1, -1).split(",");
}
