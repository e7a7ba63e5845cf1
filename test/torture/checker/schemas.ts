// The schemas topic: no id has two meanings, each record says what the catalogue says, and every event has the columns of the
// shape that it refers to. A reader that trusts the records reads rows as they are.
import type { Evidence, ReadRecord, TableSpec } from "../evidence.ts";
import { brief, type Findings } from "./findings.ts";
import { describe, type History } from "./history.ts";

interface Shape {
  readonly table: string;
  readonly names: readonly string[];
}

interface SchemaJson {
  v: number;
  schema: number;
  table: string;
  oid: number;
  publicationRel: number | null;
  topicId: string;
  identity: string;
  readAt: string;
  rows: object;
  columns: { name: string; type: string; oid: number; typmod: number; key: number | null }[];
  types?: { oid: number; name: string; kind: string; attributes?: { name: string; type: string; oid: number }[] }[];
}

const FIELDS = ["v", "schema", "table", "oid", "publicationRel", "topicId", "identity", "readAt", "rows", "columns"];
/** What is said of rows is the daemon's own business: it has to be there, and a reader of columns passes over it. */
const ROWS_FIELDS = ["file", "toast", "columns", "filled", "types", "names", "place", "parts", "composites", "enums"];
/** Stands last, where a composite type is involved. */
const TYPES = "types";
const TYPE_FIELDS: Readonly<Record<string, readonly string[]>> = {
  composite: ["attributes"],
  array: ["element", "delimiter"],
  domain: ["base"],
  range: ["bound"],
  multirange: ["bound"],
};
const COLUMN_FIELDS = ["name", "type", "oid", "typmod", "key"];
const IDENTITIES = { default: "d", full: "f", index: "i", nothing: "n" } as const;

export function checkSchemas(history: History, evidence: Evidence, findings: Findings): void {
  const shapes = new Map<number, Shape>();
  const records = [...evidence.schemas].sort((a, b) => Number(a.offset - b.offset));
  const values = new Map<number, string | null>();
  for (const record of records) {
    const schema = parse(record, findings);
    if (schema === null) continue;
    findings.examined(3, 1);
    // After a commit without an answer a start writes the same records again: readers see the same under the same id.
    const known = values.get(schema.schema);
    if ((known !== undefined && known !== record.value) || record.key !== String(schema.schema)) {
      findings.add(
        3,
        "other",
        "a schema id has two meanings",
        `${placeOf(record)}: ${schema.schema}, key ${record.key}`,
      );
    }
    values.set(schema.schema, record.value);
    shapes.set(schema.schema, { table: schema.table, names: schema.columns.map(({ name }) => name) });
    checkCatalog(schema, history, evidence, findings);
  }
  checkEvents(history, shapes, findings);
}

function parse(record: ReadRecord, findings: Findings): SchemaJson | null {
  const schema = jsonOf(record.value) as SchemaJson | null;
  const isKnown =
    schema !== null &&
    JSON.stringify(Object.keys(schema)) === JSON.stringify([...FIELDS, ...("types" in schema ? [TYPES] : [])]) &&
    isOfTypes(schema) &&
    schema.v === 1 &&
    JSON.stringify(schema) === record.value &&
    JSON.stringify(Object.keys(schema.rows)) === JSON.stringify(ROWS_FIELDS) &&
    schema.columns.every((column) => JSON.stringify(Object.keys(column)) === JSON.stringify(COLUMN_FIELDS));
  if (!isKnown) findings.add(3, "other", "a record is no schema record", `${placeOf(record)}: ${brief(record.value)}`);
  return isKnown ? schema : null;
}

/** Each type once, in order, a composite among them, and all of them within the columns' types. */
function isOfTypes({ types, columns }: SchemaJson): boolean {
  if (types === undefined) return true;
  const inside = new Set([columns, types].flat().flatMap((one) => oidsWithin(one)));
  return (
    types.some(({ kind }) => kind === "composite") &&
    types.every(
      (type, at) =>
        JSON.stringify(Object.keys(type)) ===
          JSON.stringify(["oid", "name", "kind", ...(TYPE_FIELDS[type.kind] ?? ["unknown"])]) &&
        (at === 0 || types[at - 1]!.oid < type.oid) &&
        inside.has(type.oid),
    )
  );
}

type MadeOf = Partial<Record<"kind" | "oid" | "element" | "base" | "bound", number>> & {
  attributes?: { oid: number }[];
};

/** Of a column itself; of a type what it is made of. */
function oidsWithin(one: object): number[] {
  const { kind, oid, element, base, bound, attributes = [] } = one as MadeOf;
  const within = kind === undefined ? [oid] : [element, base, bound, ...attributes.map((attribute) => attribute.oid)];
  return within.filter((each) => each !== undefined);
}

function jsonOf(text: string | null): object | null {
  try {
    return JSON.parse(text ?? "null");
  } catch {
    return null; // told as no schema record
  }
}

/** A table whose columns never changed has said the same all the time. */
function checkCatalog(schema: SchemaJson, { tables }: History, { catalog }: Evidence, findings: Findings): void {
  const table = tables.get(schema.table);
  const known = catalog.get(schema.table);
  if (table === undefined || known === undefined) {
    findings.add(3, "other", "a schema is of a table that is not captured", `${schema.schema}: ${schema.table}`);
    return;
  }
  if (table.evolves) return;
  const expected = JSON.stringify([
    known.oid,
    IDENTITIES[table.spec.identity],
    known.columns.map(({ name, oid, typmod }) => [name, oid, typmod, keyPlace(table.spec, name)]),
  ]);
  const said = JSON.stringify([
    schema.oid,
    schema.identity,
    schema.columns.map(({ name, oid, typmod, key }) => [name, oid, typmod, key]),
  ]);
  if (said === expected) return;
  const what = `${schema.schema} of ${schema.table}: ${said}, the catalogue says ${expected}`;
  findings.add(3, "other", "a schema differs from the catalogue", what);
}

function keyPlace({ key }: TableSpec, name: string): number | null {
  const at = key.indexOf(name);
  return at === -1 ? null : at + 1;
}

function checkEvents({ events }: History, shapes: ReadonlyMap<number, Shape>, findings: Findings): void {
  /** Of a schema id and what was not sent. */
  const expected = new Map<string, string>();
  for (const event of events) {
    const shape = shapes.get(event.schema);
    if (shape === undefined) {
      findings.add(3, "other", "an event's schema is not recorded", `${describe(event)}: ${event.schema}`);
      continue;
    }
    if (shape.table !== event.table.name) {
      findings.add(3, "other", "an event's schema is another table's", `${describe(event)}: ${shape.table}`);
      continue;
    }
    if (event.shape === null) continue;
    const name = JSON.stringify([event.schema, event.unchanged]);
    const own = expected.get(name) ?? JSON.stringify(shape.names.filter((one) => !event.unchanged.includes(one)));
    expected.set(name, own);
    if (event.shape !== own) {
      findings.add(
        3,
        "other",
        "an event has other columns than its schema",
        `${describe(event)}: ${event.shape}, not ${own}`,
      );
    }
  }
}

const placeOf = ({ topic, partition, offset }: ReadRecord): string => `${topic}/${partition} at ${offset}`;
