// Writes the rows of one table as JSON, from ordered pairs: a JavaScript object would move a column named "1".
import { type ColumnValue, encodeValue, type JsonForm, jsonFormOf, UNCHANGED } from "./column-value.ts";
import type { TableSchema } from "./schema.ts";

/** Values in the order of the schema's columns. */
export type RowValues = readonly ColumnValue[];

interface EncodedColumn {
  readonly place: number;
  readonly name: string;
  /** `"name":` */
  readonly label: string;
  readonly form: JsonForm;
  /** As a string, whatever the type. */
  readonly textForm: "plain" | "text";
}

export class RowEncoder {
  readonly schema: TableSchema;
  /** The `"table"` field's JSON. */
  readonly tableJson: string;
  /** Places of the key columns, in key order; empty for a keyless table. */
  readonly keyPlaces: readonly number[];
  readonly #columns: readonly EncodedColumn[];
  readonly #keyColumns: readonly EncodedColumn[];

  constructor(schema: TableSchema) {
    this.schema = schema;
    this.tableJson = JSON.stringify(schema.table);
    this.#columns = schema.columns.map((column, place) => {
      const form = jsonFormOf(column.oid);
      const textForm = form === "text" ? "text" : "plain";
      return { place, name: column.name, label: `${JSON.stringify(column.name)}:`, form, textForm };
    });
    this.#keyColumns = this.#columns
      .filter(({ place }) => schema.columns[place]!.key !== null)
      .sort((a, b) => schema.columns[a.place]!.key! - schema.columns[b.place]!.key!);
    this.keyPlaces = this.#keyColumns.map(({ place }) => place);
  }

  get hasKey(): boolean {
    return this.keyPlaces.length > 0;
  }

  /** The whole row; unchanged columns are left out. */
  row(values: RowValues): string {
    let json = "{";
    for (const column of this.#columns) {
      const value = values[column.place]!;
      if (value === UNCHANGED) {
        continue;
      }
      json += json.length === 1 ? column.label : `,${column.label}`;
      json += encodeValue(value, column.form);
    }
    return `${json}}`;
  }

  /**
   * The columns that a key tuple holds, for a table declared keyless: those of the identity are NOT NULL, and Postgres
   * sends all others as null.
   */
  identity(values: RowValues): string {
    return this.row(values.map((value) => value ?? UNCHANGED));
  }

  /** The key columns in key order, as values: the `key` field; `null` for a keyless table. */
  key(values: RowValues): string {
    return this.hasKey ? this.#keyObject(values, false) : "null";
  }

  /** The key columns in key order, every value as text: the record key; null for a keyless table. */
  recordKey(values: RowValues): string | null {
    return this.hasKey ? this.#keyObject(values, true) : null;
  }

  /** Names of the columns whose value was not sent. */
  unchanged(values: RowValues): string[] {
    return this.#columns.filter(({ place }) => values[place] === UNCHANGED).map(({ name }) => name);
  }

  #keyObject(values: RowValues, asText: boolean): string {
    let json = "{";
    for (const column of this.#keyColumns) {
      const value = values[column.place]!;
      if (value === UNCHANGED) {
        throw new TypeError(`Key column ${column.name} of ${this.schema.table} has no value.`);
      }
      json += json.length === 1 ? column.label : `,${column.label}`;
      json += encodeValue(value, asText ? column.textForm : column.form);
    }
    return `${json}}`;
  }
}
