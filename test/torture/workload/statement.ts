// What a transaction does, as plain data: SQL with its values inlined, so that the same seed gives the same text.
import pg from "pg";

export type Statement =
  | { readonly sql: string }
  /** COPY … FROM STDIN with the rows in COPY's text format. */
  | { readonly copy: string; readonly rows: string }
  /** Milliseconds in which the transaction stays open and others go on. */
  | { readonly sleep: number };

/** Which transaction of which writer this is; both count from 0. */
export interface Place {
  readonly writer: number;
  readonly number: number;
}

/** A number that no other transaction has, with room for 100,000 rows. */
export function ownBase({ writer, number }: Place): bigint {
  return (BigInt(writer) * 1_000_000_000n + BigInt(number)) * 100_000n;
}

/** One line of SQL; values are written as literals, and what they hold stays as it is. */
export function sql(strings: TemplateStringsArray, ...values: (Raw | Value)[]): { readonly sql: string } {
  const parts = strings.map((part) => part.replaceAll(/\s*\n\s*/g, " "));
  return { sql: parts.reduce((before, part, at) => `${before}${render(values[at - 1]!)}${part}`) };
}

type Value = string | number | bigint | boolean | null;

/** SQL that is taken as it is. */
export interface Raw {
  readonly raw: string;
}

export const raw = (text: string): Raw => ({ raw: text });

export const list = (values: readonly Value[]): Raw => raw(values.map(literal).join(", "));

/** `(1, 'a'), (2, 'b')` */
export const rows = (values: readonly (readonly Value[])[]): Raw =>
  raw(values.map((row) => `(${row.map(literal).join(", ")})`).join(", "));

function render(value: Raw | Value): string {
  return typeof value === "object" && value !== null ? value.raw : literal(value);
}

export function literal(value: Value): string {
  if (value === null) return "NULL";
  return typeof value === "string" ? pg.escapeLiteral(value) : String(value);
}
