// What generated code says of tables, and the types of rows that follow from it.
import type { WireRow } from "../../event/change-event.ts";
import type { Decoded, Decoder } from "./decoder.ts";

export interface TableDefinition {
  /** The key columns, in key order; empty for a table without a key. */
  readonly key: readonly string[];
  /** Column to the type's name, as in a schema record, and its decoder. */
  readonly columns: Readonly<Record<string, readonly [type: string, decoder: Decoder<unknown>]>>;
}

/** By `schema.table`, as in an event. */
export type TableDefinitions = Readonly<Record<string, TableDefinition>>;

/** Gives what it gets; the compiler then knows the columns. */
export function defineTables<const Tables extends TableDefinitions>(tables: Tables): Tables {
  return tables;
}

type KeyOf<Table extends TableDefinition> = Table["key"][number] & keyof Table["columns"];

type RowOf<Table extends TableDefinition> = {
  // Postgres's stream doesn't tell of NOT NULL, and older events may be older than the constraint.
  readonly [Name in keyof Table["columns"]]: Name extends KeyOf<Table>
    ? Decoded<Table["columns"][Name][1]>
    : Decoded<Table["columns"][Name][1]> | null;
};

/** A row of one of these tables. */
export type Row<Tables extends TableDefinitions, Name extends keyof Tables> = RowOf<Tables[Name]>;

/** The key of one of these tables. */
export type Key<Tables extends TableDefinitions, Name extends keyof Tables> = Pick<
  RowOf<Tables[Name]>,
  KeyOf<Tables[Name]>
>;

/** What handlers get of a table: its rows, its keys, and what a delete tells of a row. */
export interface RowTypes {
  readonly row: object;
  readonly key: object;
  readonly old: object;
}

/** By table. */
export type TableTypes = { readonly [table: string]: RowTypes };

/** Values as they stand in the stream. */
export interface WireTypes {
  readonly row: WireRow;
  readonly key: WireRow;
  readonly old: WireRow;
}

export type WireTables = { readonly [table: string]: WireTypes };

export type DefinedTables<Tables extends TableDefinitions> = {
  readonly [Name in keyof Tables]: {
    readonly row: Row<Tables, Name>;
    readonly key: Key<Tables, Name>;
    readonly old: Partial<Row<Tables, Name>>;
  };
};

/** `values: "decoded"`: built-in types decoded, all others as text. What they are is known only when it runs. */
export type DecodedRow = Readonly<Record<string, unknown>>;

export type DecodedTables = {
  readonly [table: string]: { readonly row: DecodedRow; readonly key: DecodedRow; readonly old: DecodedRow };
};
