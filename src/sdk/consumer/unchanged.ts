// Keeps the third state apart: a column that Postgres did not send is neither null nor undefined.
import { AfterimageError } from "../../errors.ts";
import type { WireRow } from "../../event/change-event.ts";

/**
 * The row, with a throw on every read of an unchanged column. `in`, Object.keys, spread and JSON.stringify see the
 * columns that are present.
 */
export function guardUnchanged(row: WireRow, unchanged: readonly string[] | undefined): WireRow {
  if (unchanged === undefined || unchanged.length === 0) {
    return row;
  }
  return new Proxy(row, {
    get(target, name, receiver) {
      if (typeof name === "string" && unchanged.includes(name)) {
        throw new AfterimageError(
          "COLUMN_UNCHANGED",
          `Column ${name} did not change, and Postgres did not send its value.`,
          'Write only the columns that are present (tx.upsert does), test with `"column" in row`, or set REPLICA IDENTITY FULL on the table.',
        );
      }
      return Reflect.get(target, name, receiver);
    },
  });
}
