// A relation as pgoutput announces it, with what only the catalogue knows → the table's schema. Decides the key.
import { AfterimageError } from "../errors.ts";
import { formatTableName } from "../event/identifier.ts";
import { type Lsn, ZERO_LSN } from "../event/lsn.ts";
import type { ColumnSchema, RowsState, TableSchema } from "../event/schema.ts";
import type { Relation } from "../pgoutput/messages.ts";

/** What the catalogue says of the table now, which may be later than the WAL that is being read. */
export interface CatalogFacts {
  readonly publicationRel: number | null;
  readonly primaryKey: { readonly columns: readonly string[]; readonly immediate: boolean } | null;
  readonly identityIndex: { readonly columns: readonly string[]; readonly immediate: boolean } | null;
  readonly readAt: Lsn;
  readonly rows?: RowsState | undefined;
}

/** A schema that has no id and no topic yet. */
export type TableShape = Omit<TableSchema, "schema" | "topicId">;

/**
 * `previous` is the table's schema recorded last; its key stands for WAL older than the catalogue's. `former`: what tells
 * rows apart that are older than the catalogue and than `previous`; null when that is not known.
 * Another key than that is for the caller to judge. Throws KEY_DEFERRABLE, KEY_NOT_SENT or TABLE_DROPPED.
 */
export function shapeOf(
  relation: Relation,
  facts: CatalogFacts | null,
  previous: TableSchema | null,
  typeNames: ReadonlyMap<number, string>,
  keyless: boolean,
  former: readonly string[] | null = null,
): TableShape {
  const table = formatTableName(relation.schema, relation.table);
  const key = keyless ? [] : keyColumns(table, relation, facts, previous, former);
  checkKeySent(table, key, relation);
  const rows = facts?.rows ?? previous?.rows;
  const columns = relation.columns.map((column): ColumnSchema => {
    const place = key.indexOf(column.name);
    return {
      name: column.name,
      type: typeNames.get(column.typeOid) ?? `oid ${column.typeOid}`,
      oid: column.typeOid,
      typmod: column.typmod,
      key: place < 0 ? null : place + 1,
    };
  });
  return {
    table,
    oid: relation.oid,
    // A table that has left the publication since these rows were written was in it then.
    publicationRel: facts?.publicationRel ?? previous?.publicationRel ?? null,
    identity: relation.identity,
    readAt: facts?.readAt ?? previous?.readAt ?? ZERO_LSN,
    ...(rows === undefined ? {} : { rows }),
    columns,
  };
}

/** Names of the key columns, in key order. */
export function keyOf(schema: { readonly columns: readonly ColumnSchema[] }): string[] {
  return schema.columns
    .filter(({ key }) => key !== null)
    .sort((a, b) => a.key! - b.key!)
    .map(({ name }) => name);
}

/** Whether both say the same of the table and of its rows: all but where and by which name it was found out. */
export function sameShape(a: TableShape & { topicId: string }, b: TableShape & { topicId: string }): boolean {
  return (
    a.oid === b.oid &&
    a.publicationRel === b.publicationRel &&
    a.topicId === b.topicId &&
    a.identity === b.identity &&
    JSON.stringify(a.rows) === JSON.stringify(b.rows) &&
    JSON.stringify(a.types) === JSON.stringify(b.types) &&
    a.columns.length === b.columns.length &&
    a.columns.every((column, place) => {
      const other = b.columns[place]!;
      return (
        column.name === other.name &&
        column.oid === other.oid &&
        column.typmod === other.typmod &&
        column.key === other.key
      );
    })
  );
}

function keyColumns(
  table: string,
  relation: Relation,
  facts: CatalogFacts | null,
  previous: TableSchema | null,
  former: readonly string[] | null,
): readonly string[] {
  switch (relation.identity) {
    case "d":
    case "i": {
      const marked = markedColumns(relation);
      const index = relation.identity === "d" ? facts?.primaryKey : facts?.identityIndex;
      // pgoutput marks the columns; their order is the index's, which only the catalogue knows.
      const ordered = [previous === null ? null : keyOf(previous), index?.columns ?? null, former];
      const found = ordered.find((names) => names !== null && sameSet(names, marked));
      if (found === undefined && previous === null && marked.length > 0) {
        // A publication of inserts alone may leave out columns of the key.
        checkKeySent(table, index?.columns ?? [], relation);
      }
      return found ?? marked;
    }
    case "f": {
      // Under FULL pgoutput marks every column.
      const primaryKey = facts?.primaryKey ?? null;
      const recorded = previous === null ? null : keyOf(previous);
      if (facts === null) {
        return recorded !== null && isSent(recorded, relation) ? recorded : (former ?? recorded ?? missing(table));
      }
      if (!isSent(primaryKey?.columns ?? [], relation)) {
        // These rows are older than the catalogue's key.
        const older = recorded !== null && isSent(recorded, relation) ? recorded : former;
        if (older !== null) {
          return older;
        }
      }
      if (primaryKey?.immediate === false) {
        throw new AfterimageError(
          "KEY_DEFERRABLE",
          `The primary key of ${table} is DEFERRABLE: one statement can hand a key from row to row, and rows would be lost.`,
          `Make the key immediate, or publish the table without record keys: keyless: ["${table}"].`,
        );
      }
      return primaryKey?.columns ?? [];
    }
    case "n":
      return [];
    default:
      throw relation.identity satisfies never;
  }
}

/** Names of the columns that pgoutput marks as those of the identity; under FULL that is every column. */
export const markedColumns = ({ columns }: Relation): string[] =>
  columns.filter(({ identity }) => identity).map(({ name }) => name);

export const isSent = (key: readonly string[], { columns }: Relation): boolean =>
  key.every((name) => columns.some((column) => column.name === name));

export function sameSet(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((name) => b.includes(name));
}

// A part of a key tells rows apart no longer: some would overwrite others.
function checkKeySent(table: string, key: readonly string[], relation: Relation): void {
  const absent = key.filter((name) => !relation.columns.some((column) => column.name === name));
  if (absent.length > 0) {
    throw new AfterimageError(
      "KEY_NOT_SENT",
      `Postgres does not send key column ${absent.join(", ")} of ${table}: the publication leaves it out.`,
      `Publish all key columns, or publish the table without record keys: keyless: ["${table}"].`,
    );
  }
}

function missing(table: string): never {
  throw new AfterimageError(
    "TABLE_DROPPED",
    `Table ${table} was dropped before the stream could read its key from the catalogue.`,
    'Exclude it with "!schema.table" and start again, or rebuild the stream: afterimage drop STREAM --topics.',
  );
}
