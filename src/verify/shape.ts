// What a recorded shape demands of an event's row and key.

import type { WireRow, WireValue } from "../event/change-event.ts";
import { type JsonForm, jsonFormOf } from "../event/column-value.ts";
import type { TableSchema } from "../event/schema.ts";

export interface ShapeColumn {
  readonly name: string;
  readonly oid: number;
  readonly form: JsonForm;
}

export class Shape {
  readonly schema: TableSchema;
  readonly columns: readonly ShapeColumn[];
  /** In key order; empty for a table without a key. */
  readonly key: readonly ShapeColumn[];
  readonly #names: ReadonlySet<string>;
  /** `"name":` of each key column, as the record key has it. */
  readonly #keyLabels: readonly string[];
  /** A row is checked and then folded: the same key is asked for twice. */
  #lastKey: WireRow | null = null;
  #lastRecordKey = "";
  #lastTexts: string[] | null = null;

  constructor(schema: TableSchema) {
    this.schema = schema;
    this.columns = schema.columns.map(({ name, oid }) => ({ name, oid, form: jsonFormOf(oid) }));
    this.key = schema.columns
      .map((column, at) => ({ place: column.key, column: this.columns[at]! }))
      .filter(({ place }) => place !== null)
      .sort((a, b) => a.place! - b.place!)
      .map(({ column }) => column);
    this.#keyLabels = this.key.map(({ name }) => `${JSON.stringify(name)}:`);
    this.#names = new Set(schema.columns.map(({ name }) => name));
  }

  hasSameColumns(other: Shape): boolean {
    const { columns } = other;
    return (
      columns.length === this.columns.length &&
      this.columns.every(({ name, oid }, at) => name === columns[at]!.name && oid === columns[at]!.oid)
    );
  }

  /** Every column once, in the row or in the list of those that did not change. */
  fitsRow(row: WireRow, unchanged: readonly string[] | undefined): boolean {
    let present = 0;
    for (const { name } of this.columns) {
      if (Object.hasOwn(row, name)) {
        present++;
      } else if (unchanged?.includes(name) !== true) {
        return false;
      }
    }
    return Object.keys(row).length === present && this.columns.length === present + (unchanged?.length ?? 0);
  }

  /** The old row of a delete may hold the key alone. */
  fitsOldRow(row: WireRow): boolean {
    return Object.keys(row).every((name) => this.#names.has(name));
  }

  /**
   * The texts of the key's columns, in key order; null where the record key is not the one that the event's own key
   * makes. The text of a floating-point number is the record key's: JSON doesn't keep how it was written.
   */
  keyTexts(key: WireRow, recordKey: string): readonly string[] | null {
    if (key !== this.#lastKey || recordKey !== this.#lastRecordKey) {
      this.#lastKey = key;
      this.#lastRecordKey = recordKey;
      this.#lastTexts = this.#keyTexts(key, recordKey);
    }
    return this.#lastTexts;
  }

  #keyTexts(key: WireRow, recordKey: string): string[] | null {
    let parsed: Readonly<Record<string, unknown>> | undefined;
    let json = "{";
    const texts: string[] = [];
    for (let at = 0; at < this.key.length; at++) {
      const { name, form } = this.key[at]!;
      const value = key[name];
      if (!Object.hasOwn(key, name) || value === undefined || value === null) {
        return null;
      }
      let text = textOf(value);
      if (form === "float" && typeof value === "number") {
        parsed ??= parseObject(recordKey);
        const given = parsed[name];
        if (typeof given !== "string" || !Object.is(Number(given), value)) {
          return null;
        }
        text = given;
      }
      texts.push(text);
      json += `${at === 0 ? "" : ","}${this.#keyLabels[at]}${JSON.stringify(text)}`;
    }
    return `${json}}` === recordKey && Object.keys(key).length === this.key.length ? texts : null;
  }
}

/** Postgres's text of a value that is no floating-point number. */
export function textOf(value: Exclude<WireValue, null>): string {
  switch (typeof value) {
    case "string":
      return value;
    case "boolean":
      return value ? "t" : "f";
    default:
      return String(value);
  }
}

function parseObject(json: string): Readonly<Record<string, unknown>> {
  try {
    const parsed: unknown = JSON.parse(json);
    return typeof parsed === "object" && parsed !== null ? (parsed as Record<string, unknown>) : {};
  } catch {
    return {}; // then no key fits, and that is reported
  }
}
