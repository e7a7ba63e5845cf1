// Keeps the third state apart: a column that an event does not hold is neither null nor undefined.
import { AfterimageError } from "../../errors.ts";

const NONE: readonly string[] = [];

/**
 * The row, with a throw on every read of an unchanged column, or of one that its table did not have. `in`, Object.keys,
 * spread and JSON.stringify see the columns that are present.
 */
export function guardAbsent<Row extends object>(
  row: Row,
  unchanged: readonly string[] = NONE,
  missing: readonly string[] = NONE,
): Row {
  if (unchanged.length === 0 && missing.length === 0) {
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
      if (typeof name === "string" && missing.includes(name)) {
        throw new AfterimageError(
          "COLUMN_ABSENT",
          `The table had no column ${name} when this event was written.`,
          'It was added or renamed later. Test with `"column" in row`, and say what the view holds without it.',
        );
      }
      return Reflect.get(target, name, receiver);
    },
  });
}
