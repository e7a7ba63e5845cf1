// Rows of one recorded shape → decoded rows: by generated definitions, or by what is built in.
import { AfterimageError } from "../../errors.ts";
import type { WireRow, WireValue } from "../../event/change-event.ts";
import type { ColumnSchema, TableSchema } from "../../event/schema.ts";
import { guardAbsent } from "../consumer/absent.ts";
import { BUILT_IN, builtInNamed } from "./built-in.ts";
import { type Decoder, outdated, text } from "./decoder.ts";
import { bigInteger, integer } from "./numbers.ts";
import type { DecodedRow, TableDefinition } from "./table-types.ts";

interface DecodedColumn {
  readonly name: string;
  readonly decoder: Decoder<unknown>;
}

export class RowDecoder {
  readonly #table: string;
  readonly #columns: readonly DecodedColumn[];
  /** Columns of the definition that these events don't have. */
  readonly #missing: readonly string[];

  private constructor(table: string, columns: readonly DecodedColumn[], missing: readonly string[]) {
    this.#table = table;
    this.#columns = columns;
    this.#missing = missing;
  }

  /** Built-in types, but for those that `asText` names (types, or columns as `schema.table.column`). */
  static builtIn({ table, columns }: TableSchema, asText: ReadonlySet<string>): RowDecoder {
    const isText = ({ name, type }: ColumnSchema) =>
      asText.has(type) || asText.has(type.replace(/^_/, "")) || asText.has(`${table}.${name}`);
    return new RowDecoder(
      table,
      columns.map((column) => ({
        name: column.name,
        decoder: isText(column) ? text : (BUILT_IN.get(column.oid)?.decoder ?? text),
      })),
      [],
    );
  }

  /**
   * The columns of the definition alone. `earlier` are older shapes of the table.
   * @throws TYPES_OUTDATED for a column that is gone, or has a type that its decoder was not made for
   */
  static defined(schema: TableSchema, definition: TableDefinition, earlier: readonly TableSchema[]): RowDecoder {
    const missing: string[] = [];
    const columns: DecodedColumn[] = [];
    for (const [name, [type, decoder]] of Object.entries(definition.columns)) {
      const column = columnOf(schema, name);
      if (column !== undefined) {
        checkType(schema, column, type, decoder);
        columns.push({ name, decoder });
      } else if (earlier.some((older) => columnOf(older, name) !== undefined)) {
        throw outdated(`Column ${name} of ${schema.table} is gone since schema ${schema.schema}.`);
      } else {
        missing.push(name);
      }
    }
    return new RowDecoder(schema.table, columns, missing);
  }

  /** A whole row; reading a column that it lacks throws COLUMN_UNCHANGED or COLUMN_ABSENT. */
  row(row: WireRow, unchanged: readonly string[] = []): DecodedRow {
    return guardAbsent(this.part(row), unchanged, this.#missing);
  }

  /** A key, or what is known of a row. */
  part(row: WireRow): DecodedRow {
    const decoded: [string, unknown][] = [];
    for (const { name, decoder } of this.#columns) {
      if (Object.hasOwn(row, name)) {
        decoded.push([name, this.#value(name, decoder, row[name]!)]);
      }
    }
    // It defines properties, and so takes a column named __proto__.
    return Object.fromEntries(decoded);
  }

  #value(name: string, decoder: Decoder<unknown>, value: WireValue): unknown {
    if (value === null || typeof value === decoder.native) {
      return value;
    }
    try {
      return decoder.decode(typeof value === "boolean" ? (value ? "t" : "f") : String(value));
    } catch (cause) {
      if (!(cause instanceof AfterimageError)) {
        throw cause;
      }
      throw new AfterimageError(cause.code, `${cause.message} Column ${name} of ${this.#table}.`, cause.advice, {
        cause,
      });
    }
  }
}

const columnOf = (schema: TableSchema, name: string): ColumnSchema | undefined =>
  schema.columns.find((column) => column.name === name);

/** Types whose values are decoded alike may take each other's place, whole numbers may grow, and everything is text. */
function checkType(schema: TableSchema, column: ColumnSchema, type: string, decoder: Decoder<unknown>): void {
  const actual = builtInNamed(column.type)?.decoder;
  const fits =
    column.type === type ||
    decoder === text ||
    (actual !== undefined && (actual === decoder || (actual === integer && decoder === bigInteger)));
  if (!fits) {
    throw outdated(
      `Column ${column.name} of ${schema.table} is ${column.type} in schema ${schema.schema}; the generated types know ${type}.`,
    );
  }
}
