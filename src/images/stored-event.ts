// An event as it stands in the topic → the values as Postgres sent them, which its JSON holds without a loss.
import type { WireRow } from "../event/change-event.ts";
import { type ColumnValue, UNCHANGED } from "../event/column-value.ts";
import { parseEnvelope } from "../event/envelope.ts";
import type { RowValues } from "../event/row-encoder.ts";
import type { TableSchema } from "../event/schema.ts";

/** Numbers as they are written: JavaScript's own would lose how, and integers their sign of zero. */
type RawEvent = ReturnType<typeof parseEnvelope>;

/** Throws what `parseEnvelope` throws. */
export function parseStored(json: string): RawEvent {
  return parseEnvelope(json);
}

/** The values of a row in the order of the schema's columns; null when it does not hold all but those `unchanged`. */
export function valuesOf(
  json: string,
  image: "before" | "after",
  { columns }: TableSchema,
  unchanged: readonly string[] = [],
): RowValues | null {
  const row = asWritten(json)[image] as WireRow | null;
  if (row === null) {
    return null;
  }
  const values = columns.map(({ name }): ColumnValue | undefined => {
    if (!Object.hasOwn(row, name)) {
      return unchanged.includes(name) ? UNCHANGED : undefined;
    }
    const value = row[name]!;
    return typeof value === "boolean" ? (value ? "t" : "f") : (value as string | null);
  });
  return values.includes(undefined) ? null : (values as ColumnValue[]);
}

/** The event's JSON with every number as the text that stands there. */
function asWritten(json: string): Record<string, unknown> {
  const revive = (_: string, value: unknown, context: { source?: string }) =>
    typeof value === "number" ? context.source : value;
  // https://tc39.es/proposal-json-parse-with-source/, which TypeScript's library does not know yet.
  return JSON.parse(json, revive as (this: unknown, key: string, value: unknown) => unknown);
}
