// What types are made of, as pg_type and its neighbours tell: enums, composites, domains, arrays, ranges, extensions.
import type pg from "pg";
import { formatTableName } from "../event/identifier.ts";

interface TypeBase {
  readonly oid: number;
  /** As in a schema record: with its schema when that is not pg_catalog. */
  readonly name: string;
}

export type CatalogType = TypeBase &
  (
    | { readonly kind: "base"; readonly extension: string | null; readonly bareName: string }
    | { readonly kind: "array"; readonly element: number; readonly delimiter: string }
    | { readonly kind: "enum"; readonly labels: readonly string[] }
    | { readonly kind: "domain"; readonly base: number; readonly dimensions: number }
    | { readonly kind: "range" | "multirange"; readonly bound: number }
    | { readonly kind: "composite"; readonly attributes: readonly CatalogAttribute[] }
  );

export interface CatalogAttribute {
  readonly name: string;
  readonly typeOid: number;
  readonly generated: boolean;
  /** As declared; Postgres doesn't enforce it. 0 for what is no array. */
  readonly dimensions: number;
}

/** Columns by table OID, in their order. */
export async function readColumns(
  client: pg.Client,
  tables: readonly number[],
): Promise<ReadonlyMap<number, readonly CatalogAttribute[]>> {
  const { rows } = await client.query(
    `SELECT a.attrelid AS oid, ${attributes("a")} AS columns
       FROM pg_attribute a
      WHERE a.attrelid = ANY ($1) AND a.attnum > 0 AND NOT a.attisdropped
      GROUP BY a.attrelid`,
    [tables],
  );
  return new Map(rows.map(({ oid, columns }) => [oid, columns]));
}

const attributes = (alias: string): string => `
  json_agg(json_build_object('name', ${alias}.attname, 'typeOid', ${alias}.atttypid::bigint,
                             'generated', ${alias}.attgenerated <> '', 'dimensions', ${alias}.attndims) ORDER BY ${alias}.attnum)`;

// An array type is what array_in reads: int2vector and its like have elements too.
const TYPES = `
  SELECT t.oid, t.typname AS "bareName", n.nspname AS schema, t.typtype AS type, t.typdelim AS delimiter,
         CASE WHEN t.typinput = 'pg_catalog.array_in'::regproc THEN t.typelem END AS element,
         t.typbasetype AS base, t.typndims AS dimensions,
         (SELECT r.rngsubtype FROM pg_range r WHERE t.oid IN (r.rngtypid, r.rngmultitypid)) AS bound,
         (SELECT json_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid) AS labels,
         (SELECT ${attributes("a")} FROM pg_attribute a
           WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped) AS attributes,
         (SELECT x.extname FROM pg_depend d JOIN pg_extension x ON x.oid = d.refobjid
           WHERE d.classid = 'pg_catalog.pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e'
             AND d.refclassid = 'pg_catalog.pg_extension'::regclass) AS extension
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
   WHERE t.oid = ANY ($1)`;

/** These types and all that they are made of, by OID. */
export async function readTypes(client: pg.Client, oids: readonly number[]): Promise<ReadonlyMap<number, CatalogType>> {
  const types = new Map<number, CatalogType>();
  let wanted = [...new Set(oids)];
  while (wanted.length > 0) {
    const { rows } = await client.query(TYPES, [wanted]);
    const read: CatalogType[] = rows.map(toType);
    for (const type of read) {
      types.set(type.oid, type);
    }
    wanted = [...new Set(read.flatMap(partsOf))].filter((oid) => !types.has(oid));
  }
  return types;
}

function partsOf(type: CatalogType): readonly number[] {
  switch (type.kind) {
    case "base":
    case "enum":
      return [];
    case "array":
      return [type.element];
    case "domain":
      return [type.base];
    case "range":
    case "multirange":
      return [type.bound];
    case "composite":
      return type.attributes.map(({ typeOid }) => typeOid);
    default:
      throw type satisfies never;
  }
}

// biome-ignore lint/suspicious/noExplicitAny: a row as the driver gives it
function toType(row: any): CatalogType {
  const { oid, bareName, extension, element, delimiter, base, dimensions, bound } = row;
  const named = { oid, name: row.schema === "pg_catalog" ? bareName : formatTableName(row.schema, bareName) };
  if (element !== null) {
    return { ...named, kind: "array", element, delimiter };
  }
  switch (row.type) {
    case "e":
      return { ...named, kind: "enum", labels: row.labels ?? [] };
    case "d":
      return { ...named, kind: "domain", base, dimensions };
    case "r":
      return { ...named, kind: "range", bound };
    case "m":
      return { ...named, kind: "multirange", bound };
    case "c":
      return { ...named, kind: "composite", attributes: row.attributes ?? [] };
    default:
      return { ...named, kind: "base", extension, bareName };
  }
}
