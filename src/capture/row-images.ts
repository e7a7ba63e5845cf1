// Tuples as Postgres sends them → row changes: unchanged values are filled from the old row where that has them, and a
// changed key becomes a delete and an insert.
import { AfterimageError } from "../errors.ts";
import { type ColumnValue, UNCHANGED } from "../event/column-value.ts";
import type { RowChange } from "../event/envelope.ts";
import type { RowEncoder, RowValues } from "../event/row-encoder.ts";
import { malformed } from "../pgoutput/byte-reader.ts";
import type { Delete, Insert, OldTuple, Tuple, Update } from "../pgoutput/messages.ts";

/** One change, or two when the key changed: the delete of the old key, then the insert of the new one. */
export function rowChanges(message: Insert | Update | Delete, table: RowEncoder): readonly RowChange[] {
  switch (message.kind) {
    case "insert":
      checkWidth(message.new, table);
      return [{ operation: "insert", new: withKey(message.new, table), previousKey: null }];
    case "update":
      return updateChanges(message, table);
    case "delete":
      checkWidth(message.old.values, table);
      return [
        {
          operation: "delete",
          old: withKey(message.old.values, table),
          oldIsWhole: message.old.form === "whole",
          nextKey: null,
          unchanged: [],
        },
      ];
    default:
      throw message satisfies never;
  }
}

function updateChanges({ old, new: tuple }: Update, table: RowEncoder): readonly RowChange[] {
  checkWidth(tuple, table);
  if (old === null) {
    return [{ operation: "update", old: null, new: withKey(tuple, table) }];
  }
  checkWidth(old.values, table);
  const row = withKey(fillUnchanged(tuple, old, table), table);
  if (!keyDiffers(old.values, row, table)) {
    // Postgres also sends an unchanged key when it holds a toasted value.
    return [{ operation: "update", old: old.form === "whole" ? old.values : null, new: row }];
  }
  return [
    {
      operation: "delete",
      old: withKey(old.values, table),
      oldIsWhole: old.form === "whole",
      nextKey: row,
      unchanged: table.unchanged(row),
    },
    { operation: "insert", new: row, previousKey: old.values },
  ];
}

/** REPLICA IDENTITY FULL does not stop the unchanged-TOAST marker in the new tuple. */
function fillUnchanged(tuple: Tuple, old: OldTuple, table: RowEncoder): RowValues {
  if (!tuple.includes(UNCHANGED)) {
    return tuple;
  }
  return tuple.map((value, place): ColumnValue => {
    const sent = old.form === "whole" || table.schema.columns[place]!.key !== null;
    return value === UNCHANGED && sent ? old.values[place]! : value;
  });
}

// Text decides: the record key is made of text, so 1.0 and 1.00 are two keys whatever numeric's equality says.
function keyDiffers(old: RowValues, row: RowValues, table: RowEncoder): boolean {
  return table.keyPlaces.some((place) => old[place] !== row[place]);
}

function withKey(row: RowValues, table: RowEncoder): RowValues {
  for (const place of table.keyPlaces) {
    if (row[place] === UNCHANGED) {
      throw new AfterimageError(
        "KEY_NOT_SENT",
        `Postgres did not send key column ${table.schema.columns[place]!.name} of ${table.schema.table}.`,
        `Run ALTER TABLE ${table.schema.table} REPLICA IDENTITY FULL, then rebuild the stream.`,
      );
    }
  }
  return row;
}

function checkWidth(tuple: Tuple, table: RowEncoder): void {
  if (tuple.length !== table.schema.columns.length) {
    throw malformed(
      `a row of ${table.schema.table} has ${tuple.length} columns, ${table.schema.columns.length} were announced`,
    );
  }
}
