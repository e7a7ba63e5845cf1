// One text for a row, made alike by Postgres from the table and here from events, so that digests of it can be compared.
//
// A column's token is `~` for NULL; Postgres's own output text for types whose text has no comma; the eight or four
// bytes of a floating-point number in hexadecimal (JSON doesn't keep how it was written); else the text after its
// length in bytes, or `#` and the SHA-256 of a text of more than 64. `?` stands for a value that the stream never
// held; Postgres makes no such token. Tokens are joined by commas.
//
// The output text is had by `concat`, which calls the type's output function; a cast to text is something else for
// boolean, inet, char(n) and others.
import { hash } from "node:crypto";
import type { WireValue } from "../event/change-event.ts";
import { quoteIdentifier } from "../event/identifier.ts";
import { textOf } from "./shape.ts";

export const NULL_TOKEN = "~";
export const UNKNOWN_TOKEN = "?";

const LONGEST_TEXT = 64;

/** bool, int8, int2, int4, oid, date, timestamp, timestamptz, uuid. */
const PLAIN = new Set([16, 20, 21, 23, 26, 1082, 1114, 1184, 2950]);
const FLOAT4 = 700;
const FLOAT8 = 701;
/** text and varchar are their own output. */
const TEXT = new Set([25, 1043]);

export interface TokenColumn {
  readonly name: string;
  readonly oid: number;
}

export function valueToken(value: WireValue, oid: number): string {
  if (value === null) {
    return NULL_TOKEN;
  }
  if (oid === FLOAT4 || oid === FLOAT8) {
    return floatToken(Number(value), oid === FLOAT4 ? 4 : 8);
  }
  return PLAIN.has(oid) ? textOf(value) : textToken(textOf(value));
}

/** Keys are compared as text whatever their type is now: the record key is made of text. */
export const keyToken = (text: string): string => textToken(text);

/** Key columns and their texts as JSON, as in a record key; a text of more than 64 bytes as its digest. */
export function showKey(names: readonly string[], tokens: string): string {
  const texts = splitRow(
    tokens,
    names.map((name) => ({ name, oid: 25 })),
  ).map((token) => (token.startsWith("#") ? token : token.slice(token.indexOf(":") + 1)));
  return `{${names.map((name, at) => `${JSON.stringify(name)}:${JSON.stringify(texts[at])}`).join(",")}}`;
}

/** Whether the tokens of two types are made alike. */
export const haveSameForm = (one: number, other: number): boolean => formOf(one) === formOf(other);

/** A token of a column whose type was changed since, as it would be written now; a float's text is not known. */
export function convertToken(token: string, from: number, to: number): string {
  if (haveSameForm(from, to) || token === NULL_TOKEN || token === UNKNOWN_TOKEN) {
    return token;
  }
  if (formOf(from) === "plain") {
    return formOf(to) === "text" ? textToken(token) : valueToken(Number(token), to);
  }
  return formOf(from) === "text" && formOf(to) === "plain" ? token.slice(token.indexOf(":") + 1) : token;
}

function formOf(oid: number): "plain" | "float4" | "float8" | "text" {
  return PLAIN.has(oid) ? "plain" : oid === FLOAT4 ? "float4" : oid === FLOAT8 ? "float8" : "text";
}

function textToken(text: string): string {
  const bytes = Buffer.byteLength(text);
  return bytes <= LONGEST_TEXT ? `${bytes}:${text}` : `#${hash("sha256", text)}`;
}

function floatToken(value: number, bytes: 4 | 8): string {
  // NaN has many bit patterns, and Postgres keeps them.
  if (Number.isNaN(value)) {
    return "NaN";
  }
  const buffer = Buffer.alloc(bytes);
  if (bytes === 4) {
    buffer.writeFloatBE(value);
  } else {
    buffer.writeDoubleBE(value);
  }
  return buffer.toString("hex");
}

/** The tokens of a row's text, whose columns are these. */
export function splitRow(row: string, columns: readonly TokenColumn[]): string[] {
  const bytes = Buffer.from(row, "utf8");
  const tokens: string[] = [];
  let at = 0;
  for (const { oid } of columns) {
    const start = at;
    const general = !PLAIN.has(oid) && oid !== FLOAT4 && oid !== FLOAT8;
    if (general && bytes[at] !== 0x7e && bytes[at] !== 0x3f && bytes[at] !== 0x23) {
      const colon = bytes.indexOf(0x3a, at);
      at = colon + 1 + Number(bytes.toString("latin1", at, colon));
    } else {
      const comma = bytes.indexOf(0x2c, at);
      at = comma < 0 ? bytes.length : comma;
    }
    tokens.push(bytes.toString("utf8", start, at));
    at++;
  }
  return tokens;
}

export const digestOf = (text: string): Buffer => hash("sha256", text, "buffer");

/** SQL for the parts of a query over `FROM … AS t`; `values` is what stands in the LATERAL subquery `v`. */
export interface CanonicalSql {
  readonly values: string;
  readonly row: string;
  /** Null for a table without a key. */
  readonly key: string | null;
}

/** `utf8`: the database's own encoding is UTF-8, so lengths needn't be taken of converted text. */
export function canonicalSql(
  columns: readonly TokenColumn[],
  key: readonly TokenColumn[],
  utf8: boolean,
): CanonicalSql {
  const values: string[] = [];
  const text = (column: TokenColumn): string => {
    const source = `t.${quoteIdentifier(column.name)}`;
    if (TEXT.has(column.oid)) {
      return source;
    }
    // A name that no column has: the publication's row filter names columns without their table.
    const name = `"afterimage value ${values.length}"`;
    values.push(`concat(${source}) AS ${name}`);
    return `v.${name}`;
  };
  const row = columns.map((column) => rowTokenSql(column, text, utf8));
  const keys = key.map((column) => textTokenSql(text(column), utf8));
  return {
    values: values.length === 0 ? "NULL" : values.join(", "),
    row: joined(row),
    key: keys.length === 0 ? null : joined(keys),
  };
}

// The columns' own collations may differ, or call different texts equal.
const joined = (tokens: readonly string[]): string =>
  `array_to_string(ARRAY[${tokens.join(", ")}]::text[], ',') COLLATE "C"`;

function rowTokenSql(column: TokenColumn, text: (column: TokenColumn) => string, utf8: boolean): string {
  const source = `t.${quoteIdentifier(column.name)}`;
  if (column.oid === FLOAT4 || column.oid === FLOAT8) {
    const send = column.oid === FLOAT4 ? "float4send" : "float8send";
    return `CASE WHEN ${source} IS NULL THEN '~' WHEN ${source} = 'NaN' THEN 'NaN' ELSE encode(${send}(${source}), 'hex') END`;
  }
  const value = text(column);
  const token = PLAIN.has(column.oid) ? value : textTokenSql(value, utf8);
  // `IS NULL` would also be true of a composite value whose fields are all null.
  return `CASE WHEN num_nulls(${source}) = 1 THEN '~' ELSE ${token} END`;
}

function textTokenSql(value: string, utf8: boolean): string {
  const length = utf8 ? `octet_length(${value})` : `octet_length(convert_to(${value}, 'UTF8'))`;
  return `CASE WHEN ${length} <= ${LONGEST_TEXT} THEN ${length} || ':' || ${value} ELSE '#' || encode(sha256(convert_to(${value}, 'UTF8')), 'hex') END`;
}
