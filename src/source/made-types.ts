// How the types of a table's columns are made, where composite types are among them: what a reader of their text needs.
import type pg from "pg";
import type { MadeType } from "../event/schema.ts";
import { type CatalogType, readTypes } from "./type-catalog.ts";

/** The first OID of what is not built in. https://www.postgresql.org/docs/current/system-catalog-initial-data.html */
const FIRST_MADE = 16_384;

/** For a schema record; undefined when none of these types, nor any within them, is a composite. */
export async function readMadeTypes(
  client: pg.Client,
  columnTypes: readonly number[],
): Promise<readonly MadeType[] | undefined> {
  const made = columnTypes.filter((oid) => oid >= FIRST_MADE);
  if (made.length === 0) {
    return undefined;
  }
  const types = await readTypes(client, made);
  const told = [...types.values()].flatMap((type) => toMade(type, types)).sort((a, b) => a.oid - b.oid);
  return told.some(({ kind }) => kind === "composite") ? told : undefined;
}

function toMade(type: CatalogType, types: ReadonlyMap<number, CatalogType>): MadeType[] {
  const { oid, name } = type;
  if (oid < FIRST_MADE) {
    return [];
  }
  switch (type.kind) {
    case "base":
    case "enum":
      return [];
    case "array":
      return [{ oid, name, kind: type.kind, element: type.element, delimiter: type.delimiter }];
    case "domain":
      return [{ oid, name, kind: type.kind, base: type.base }];
    case "range":
    case "multirange":
      return [{ oid, name, kind: type.kind, bound: type.bound }];
    case "composite": {
      const attributes = type.attributes.map((attribute) => {
        const of = types.get(attribute.typeOid);
        return { name: attribute.name, type: of?.name ?? String(attribute.typeOid), oid: attribute.typeOid };
      });
      return [{ oid, name, kind: type.kind, attributes }];
    }
    default:
      throw type satisfies never;
  }
}
