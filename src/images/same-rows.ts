// Whether rows that were told under one record of a table are still those of the table under the next one.
import type { TableSchema } from "../event/schema.ts";

/**
 * True when nothing but the table's file is another one, as after TRUNCATE, which is an event, or VACUUM FULL. False in
 * doubt: of a table that the publication does not name a new file may hide what was written while it was UNLOGGED.
 */
export function holdsSameRows(before: TableSchema, now: TableSchema): boolean {
  return (
    before.rows !== undefined &&
    now.rows !== undefined &&
    JSON.stringify(lasting(before)) === JSON.stringify(lasting(now))
  );
}

function lasting({ schema: _schema, readAt: _readAt, rows, ...shape }: TableSchema): object {
  const { file, toast, ...state } = rows!;
  return { ...shape, ...state, ...(state.place === "own" ? {} : { file, toast }) };
}
