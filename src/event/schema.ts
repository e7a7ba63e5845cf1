// A table's shape at one time: the value of a record of `<stream>.schemas`.
import { AfterimageError } from "../errors.ts";
import { formatLsn, type Lsn, parseLsn } from "./lsn.ts";

/** pg_class.relreplident: default, full, index, nothing. */
export type ReplicaIdentity = "d" | "f" | "i" | "n";

export interface ColumnSchema {
  readonly name: string;
  /** The type's name, with its schema when that is not pg_catalog. */
  readonly type: string;
  readonly oid: number;
  readonly typmod: number;
  /** 1-based place in the record key; null for a column outside it. */
  readonly key: number | null;
}

/**
 * What the catalogue says of a table's rows as a whole. Another one when rows may have changed, or gone by unpublished,
 * without an event.
 */
export interface RowsState {
  /** pg_class.relfilenode: another one after a rewrite, a TRUNCATE, VACUUM FULL or CLUSTER. */
  readonly file: number;
  /** pg_class.reltoastrelid: a rewrite makes another one, a TRUNCATE doesn't. */
  readonly toast: number;
  /** Hash of the columns' rows in the catalogue, and of their defaults. */
  readonly columns: string;
  /** pg_attribute.attnum of columns that were added with a value for the rows that were there. */
  readonly filled: readonly number[];
  /** `own`: the publication names the table; else a hash of the catalogue's rows through which it is published. */
  readonly place: string;
  /** Hash of the partitions whose rows are published under the table's name. */
  readonly parts: string;
  /** pg_attribute.attnum of each column to its type's OID. */
  readonly types: Readonly<Record<string, number>>;
  /**
   * pg_attribute.attnum of each column to its name; of one that was dropped to its last name, since its values are still
   * in the topic. Absent in records of versions that did not keep it.
   */
  readonly names?: Readonly<Record<string, string>> | undefined;
  /** OID of each composite type among its columns to a hash of its attributes' types. */
  readonly composites: Readonly<Record<string, string>>;
  /** OID of each enum among its columns to a hash of each of its values. */
  readonly enums: Readonly<Record<string, readonly string[]>>;
}

interface MadeTypeBase {
  readonly oid: number;
  /** With its schema. */
  readonly name: string;
}

/**
 * What a type that somebody made is made of. OIDs of what is not among the record's `types` are built-in ones, or those of
 * types that are opaque here (enums, and base types of extensions).
 */
export type MadeType = MadeTypeBase &
  (
    | { readonly kind: "composite"; readonly attributes: readonly TypeAttribute[] }
    | { readonly kind: "array"; readonly element: number; readonly delimiter: string }
    | { readonly kind: "domain"; readonly base: number }
    | { readonly kind: "range" | "multirange"; readonly bound: number }
  );

export interface TypeAttribute {
  readonly name: string;
  /** The type's name, with its schema when that is not pg_catalog. */
  readonly type: string;
  readonly oid: number;
}

export interface TableSchema {
  /**
   * What an event's `schema` field refers to; unique in the stream, from 1. Given when a shape is met and written with its
   * first event, so they need not follow one another in the topic.
   */
  readonly schema: number;
  /** `formatTableName` text. */
  readonly table: string;
  /** pg_class.oid */
  readonly oid: number;
  /** OID of the pg_publication_rel or pg_publication_namespace row; null under FOR ALL TABLES. */
  readonly publicationRel: number | null;
  /** Kafka's topic id (UUID text). */
  readonly topicId: string;
  readonly identity: ReplicaIdentity;
  /** Where the WAL stood when the key was read from the catalogue. */
  readonly readAt: Lsn;
  /** Absent in records of versions that did not keep it. */
  readonly rows?: RowsState | undefined;
  readonly columns: readonly ColumnSchema[];
  /**
   * Where a composite type is among the columns' types, or within them: how they are made, by OID. Absent elsewhere, and
   * in records of versions that did not keep it.
   */
  readonly types?: readonly MadeType[] | undefined;
}

/** The JSON of a schema record; written in one fixed order, without spaces. */
export function encodeSchema(schema: TableSchema): string {
  const columns = schema.columns.map(({ name, type, oid, typmod, key }) => ({ name, type, oid, typmod, key }));
  return JSON.stringify({
    v: 1,
    schema: schema.schema,
    table: schema.table,
    oid: schema.oid,
    publicationRel: schema.publicationRel,
    topicId: schema.topicId,
    identity: schema.identity,
    readAt: formatLsn(schema.readAt),
    rows: schema.rows,
    columns,
    types: schema.types,
  });
}

/**
 * Reads a schema record. Throws SCHEMA_VERSION_UNKNOWN for a version this reader does not know and SCHEMA_FOREIGN for
 * anything that is no schema record.
 */
export function parseSchema(json: string): TableSchema {
  let version: unknown;
  try {
    const { v, readAt, ...rest } = JSON.parse(json);
    version = v;
    if (version === 1) {
      return { ...rest, readAt: parseLsn(readAt) };
    }
  } catch {
    // The parser's message quotes the text: it is left out.
    version = undefined;
  }
  if (version === undefined) {
    throw new AfterimageError(
      "SCHEMA_FOREIGN",
      "A record of the schemas topic is not one of afterimage's.",
      "Another program writes to the stream's topics. Find and stop it, then rebuild the stream: afterimage drop STREAM --topics, then start.",
    );
  }
  throw new AfterimageError(
    "SCHEMA_VERSION_UNKNOWN",
    `A schema record has version ${JSON.stringify(version)}; this reader knows version 1.`,
    "Upgrade afterimage-cdc to the version that wrote the stream.",
  );
}

type LastingShape = Omit<TableSchema, "schema" | "topicId" | "readAt">;

/**
 * Whether rows that were told under one record of a table are still those of the table under the next one: when nothing
 * but the table's file is another one, as after TRUNCATE, which is an event, or VACUUM FULL. False in doubt: of a table
 * that the publication does not name, a new file may hide what was written while it was UNLOGGED.
 */
export function holdsSameRows(before: LastingShape, now: LastingShape): boolean {
  if (before.rows === undefined || now.rows === undefined) {
    return false;
  }
  const named = before.rows.names !== undefined && now.rows.names !== undefined;
  return JSON.stringify(lasting(before, named)) === JSON.stringify(lasting(now, named));
}

/** `named`: both records know the columns' names by number; without, those of the columns have to do. */
function lasting({ table, oid, publicationRel, identity, rows, columns }: LastingShape, named: boolean): object {
  const { file, toast, names, ...state } = rows!;
  const place = state.place === "own" ? null : [file, toast];
  return { table, oid, publicationRel, identity, columns, state, names: named ? names : null, file: place };
}
