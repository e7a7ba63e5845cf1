// What the audit says an event must be: one row of it is one event, or two when the key changed.
import type { AuditRow } from "../evidence.ts";
import { brief } from "./findings.ts";
import type { SeenEvent } from "./history.ts";
import type { Row, Table } from "./table.ts";

export interface Expected {
  readonly table: Table;
  readonly operation: SeenEvent["operation"];
  readonly key: string | null;
  readonly previousKey: string | null;
  readonly nextKey: string | null;
  readonly old: Row | null;
  readonly new: Row | null;
  readonly ordinal: bigint;
}

export function expectedOf(audit: AuditRow, table: Table): Expected[] {
  const { operation, ordinal } = audit;
  const old = audit.old && table.textRow(audit.old);
  const row = audit.new && table.textRow(audit.new);
  const shared = { table, ordinal, old, new: row, previousKey: null, nextKey: null };
  if (operation === "truncate") return [{ ...shared, operation, key: null }];
  const oldKey = old && table.keyOf(old);
  const key = row && table.keyOf(row);
  if (operation !== "update" || oldKey === key) return [{ ...shared, operation, key: key ?? oldKey }];
  return [
    { ...shared, operation: "delete", key: oldKey, nextKey: key },
    { ...shared, operation: "insert", key, previousKey: oldKey },
  ];
}

/** Events and expectations of one name are candidates for each other. */
export const nameOf = ({ table, operation, key }: Pick<Expected, "table" | "operation" | "key">): string =>
  `${operation} ${table.name} ${key}`;

/** How the event differs from what it must be; null when it doesn't. */
export function differenceOf(event: SeenEvent, expected: Expected): string | null {
  if (nameOf(event) !== nameOf(expected)) return `expected is ${nameOf(expected)}`;
  if (event.previousKey !== expected.previousKey)
    return `previousKey is ${event.previousKey}, not ${expected.previousKey}`;
  if (event.nextKey !== expected.nextKey) return `nextKey is ${event.nextKey}, not ${expected.nextKey}`;
  return beforeDifference(event, expected) ?? afterDifference(event, expected);
}

function beforeDifference({ before, beforeKey, operation, table, key }: SeenEvent, { old }: Expected): string | null {
  const hasOld = operation === "delete" || operation === "update";
  if (table.isFull && hasOld) return rowDifference("before", before, old!, table);
  if (operation !== "delete") return before === null && beforeKey === null ? null : "it has a before image";
  if (table.hasKey) return beforeKey === key ? null : `before holds the key ${beforeKey}`;
  // The columns of an identity that is no key are known to Postgres alone.
  if (before === null || before.every((text) => text === undefined)) return "it has no before image";
  const wrong = before.findIndex((text, place) => text !== undefined && text !== old![place]);
  return wrong === -1 ? null : columnDifference("before", table, wrong, before, old!);
}

function afterDifference(
  { after, operation, table, unchanged }: SeenEvent,
  { old, new: row }: Expected,
): string | null {
  if (operation === "truncate" || operation === "delete") return after === null ? null : "it has an after image";
  if (after === null) return "it has no after image";
  const absent: string[] = [];
  for (let place = 0; place < after.length; place++) {
    if (after[place] !== undefined || row![place] === undefined) {
      if (after[place] !== row![place]) return columnDifference("after", table, place, after, row!);
      continue;
    }
    absent.push(table.columns[place]!);
    const mayBeAbsent =
      !table.isFull &&
      old !== null &&
      row![place] !== null &&
      old[place] === row![place] &&
      table.canBeUnchanged(place);
    if (!mayBeAbsent) return columnDifference("after", table, place, after, row!);
  }
  return sameNames(absent, unchanged)
    ? null
    : `unchanged lists ${unchanged.join(", ")}; absent are ${absent.join(", ")}`;
}

function rowDifference(image: string, row: Row | null, expected: Row, table: Table): string | null {
  if (row === null) return `it has no ${image} image`;
  const wrong = expected.findIndex((text, place) => text !== row[place]);
  return wrong === -1 ? null : columnDifference(image, table, wrong, row, expected);
}

function columnDifference(image: string, table: Table, place: number, row: Row, expected: Row): string {
  return `${image}.${table.columns[place]} is ${brief(row[place])}, not ${brief(expected[place])}`;
}

export const sameNames = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((name, at) => name === b[at]);
