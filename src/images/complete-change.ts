// A change as Postgres sent it → the same with what the rows before it tell. What Postgres did send always wins, and what
// is not known stays as it was sent.
import { type ColumnValue, UNCHANGED } from "../event/column-value.ts";
import type { RowChange } from "../event/envelope.ts";
import type { RowEncoder, RowValues } from "../event/row-encoder.ts";

/** The rows of a table right before an event; told what the event leaves. */
export interface RowMemory {
  known(key: string): RowValues | null;
  moved(): RowValues | null;
  put(key: string, row: RowValues): void;
  remove(key: string, moving: RowValues | null): void;
}

export function completeChange(change: RowChange, table: RowEncoder, rows: RowMemory): RowChange {
  switch (change.operation) {
    case "insert": {
      const row = change.previousKey === null ? change.new : filled(change.new, rows.moved());
      rows.put(keyOf(row, table), row);
      return row === change.new ? change : { ...change, new: row };
    }
    case "update": {
      const key = keyOf(change.new, table);
      const old = change.old ?? rows.known(key);
      const row = filled(change.new, old);
      rows.put(key, row);
      return old === change.old && row === change.new ? change : { ...change, old, new: row };
    }
    case "delete": {
      const key = keyOf(change.old, table);
      const old = change.oldIsWhole ? change.old : rows.known(key);
      rows.remove(key, change.nextKey === null ? null : old);
      if (old === null || change.oldIsWhole) {
        return change;
      }
      // The insert that follows has nothing left that is unchanged: it is filled from the same row.
      return { ...change, old, oldIsWhole: true, unchanged: [] };
    }
    default:
      throw change satisfies never;
  }
}

/** Values that Postgres did not send, from the row before. */
export function filled(row: RowValues, before: RowValues | null): RowValues {
  return before === null || !row.includes(UNCHANGED)
    ? row
    : row.map((value, place): ColumnValue => (value === UNCHANGED ? before[place]! : value));
}

const keyOf = (row: RowValues, table: RowEncoder): string => table.recordKey(row)!;
