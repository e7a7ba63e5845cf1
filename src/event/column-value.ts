// A column's value as Postgres sends it, and its JSON form on the wire. Three states, never confused:
// a value, null, and "unchanged" (an unchanged TOAST value, which Postgres does not send).
// https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html (TupleData)

/** Stands for a value that Postgres did not send because it did not change. */
export const UNCHANGED: unique symbol = Symbol("unchanged");

/** Postgres's text output under the pinned session settings, SQL NULL, or `UNCHANGED`. */
export type ColumnValue = string | null | typeof UNCHANGED;

// No text of Postgres's holds this character.
const UNDECODABLE = "\0";

/**
 * What stands for a value whose bytes are not UTF-8 until its event is left out; two of them are equal when their bytes
 * are. Never to be published.
 */
export const undecodableValue = (bytes: Buffer): string => UNDECODABLE + bytes.toString("latin1");

export const isUndecodable = (value: ColumnValue): boolean =>
  typeof value === "string" && value.startsWith(UNDECODABLE);

/**
 * How the text of a type becomes JSON: `literal` types are valid JSON as Postgres writes them, `plain` ones become a
 * string with nothing in it to be escaped.
 */
export type JsonForm = "boolean" | "literal" | "float" | "plain" | "text";

// OIDs of pg_type.dat; they never change.
const BOOL = 16;
const INT2 = 21;
const INT4 = 23;
const OID = 26;
const FLOAT4 = 700;
const FLOAT8 = 701;
const INT8 = 20;
const NUMERIC = 1700;
const DATE = 1082;
const TIME = 1083;
const TIMESTAMP = 1114;
const TIMESTAMPTZ = 1184;
const UUID = 2950;

/** Native JSON for boolean, int2, int4, oid and finite floats; a string for every other type (int8 among them). */
export function jsonFormOf(typeOid: number): JsonForm {
  switch (typeOid) {
    case BOOL:
      return "boolean";
    case INT2:
    case INT4:
    case OID:
      return "literal";
    case FLOAT4:
    case FLOAT8:
      return "float";
    case INT8:
    case NUMERIC:
    case DATE:
    case TIME:
    case TIMESTAMP:
    case TIMESTAMPTZ:
    case UUID:
      return "plain";
    default:
      return "text";
  }
}

/** The JSON text of a value. A finite float's Postgres text (`1e-07`, `-0`) is a JSON number as it stands. */
export function encodeValue(value: string | null, form: JsonForm): string {
  if (value === null) {
    return "null";
  }
  switch (form) {
    case "literal":
      return value;
    case "boolean":
      return value === "t" ? "true" : "false";
    case "float":
      return value === "NaN" || value === "Infinity" || value === "-Infinity" ? `"${value}"` : value;
    case "plain":
      return `"${value}"`;
    case "text":
      return JSON.stringify(value);
    default:
      throw form satisfies never;
  }
}
