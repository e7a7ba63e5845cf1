// Tables and transactions for the tests of the core, and a reader for LSNs.
import { formatTableName } from "../../../src/event/identifier.ts";
import { type Lsn, toLsn } from "../../../src/event/lsn.ts";
import { RowEncoder } from "../../../src/event/row-encoder.ts";
import type { ReplicaIdentity, TableSchema } from "../../../src/event/schema.ts";

/** OIDs of pg_type.dat. */
export const TYPE = {
  bool: 16,
  int8: 20,
  int2: 21,
  int4: 23,
  text: 25,
  oid: 26,
  json: 114,
  float4: 700,
  float8: 701,
  timestamptz: 1184,
  numeric: 1700,
} as const;

export type TypeName = keyof typeof TYPE;

export const lsn = (value: number | bigint): Lsn => toLsn(BigInt(value));

interface TableOptions {
  readonly schemaName?: string;
  readonly table?: string;
  readonly oid?: number;
  readonly id?: number;
  readonly identity?: ReplicaIdentity;
  /** Names of the key columns, in key order. */
  readonly key?: readonly string[];
}

/** `columns`: name to type; the key is the first column unless named. */
export function tableSchema(
  columns: readonly (readonly [string, TypeName])[],
  options: TableOptions = {},
): TableSchema {
  const key = options.key ?? [columns[0]![0]];
  return {
    schema: options.id ?? 1,
    table: formatTableName(options.schemaName ?? "public", options.table ?? "t"),
    oid: options.oid ?? 16_400,
    publicationRel: 17_000,
    topicId: "7daS2RGzQCSpzsaCWunrAA",
    identity: options.identity ?? "d",
    readAt: lsn(0x100),
    columns: columns.map(([name, type]) => ({
      name,
      type,
      oid: TYPE[type],
      typmod: -1,
      key: key.includes(name) ? key.indexOf(name) + 1 : null,
    })),
  };
}

export function rowEncoder(columns: readonly (readonly [string, TypeName])[], options: TableOptions = {}): RowEncoder {
  return new RowEncoder(tableSchema(columns, options));
}
