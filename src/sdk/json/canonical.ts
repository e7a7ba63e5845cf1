// JSON values as text that is equal exactly when the values are: what the blocks store and compare.
import { AfterimageError } from "../../errors.ts";

/** What JSON can hold: after a round trip through it nothing has changed. Members that are undefined are left out. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json | undefined };

/**
 * The value as JSON, members in the order of their names' code units, no spaces. Two values have the same text exactly when
 * they are equal: objects whatever the order of their members, arrays by order, numbers as IEEE doubles (0 equals -0),
 * strings by code units, without normalising Unicode.
 * @throws VALUE_NOT_JSON for whatever would come back as something else: Date, Map, bigint, NaN, undefined in an array …
 */
export function canonicalJson(value: unknown, what: string): string {
  return write(value, what, "", new Set());
}

function write(value: unknown, what: string, path: string, above: Set<object>): string {
  if (value === null || typeof value === "boolean" || typeof value === "string") {
    return JSON.stringify(value);
  }
  if (typeof value === "number" && Number.isFinite(value)) {
    return JSON.stringify(value);
  }
  if (typeof value !== "object" || above.has(value)) {
    throw notJson(typeof value === "object" ? "a value that contains itself" : `a ${nameOf(value)}`, what, path);
  }
  above.add(value);
  const text = Array.isArray(value)
    ? `[${Array.from(value, (item, at) => write(item, what, `${path}[${at}]`, above)).join(",")}]`
    : writeObject(value, what, path, above);
  above.delete(value);
  return text;
}

function writeObject(value: object, what: string, path: string, above: Set<object>): string {
  const prototype = Object.getPrototypeOf(value);
  // Plain objects of another realm have another Object.prototype, which has no prototype itself.
  const isPlain = prototype === null || Object.getPrototypeOf(prototype) === null;
  if (!isPlain || typeof (value as { toJSON?: unknown }).toJSON === "function") {
    throw notJson(`a ${value.constructor?.name ?? "object"}`, what, path);
  }
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, member]) => `${JSON.stringify(name)}:${write(member, what, `${path}.${name}`, above)}`);
  return `{${members.join(",")}}`;
}

const nameOf = (value: unknown): string => (typeof value === "number" ? String(value) : typeof value);

function notJson(found: string, what: string, path: string): AfterimageError {
  return new AfterimageError(
    "VALUE_NOT_JSON",
    `${what} has ${found}${path === "" ? "" : ` at ${path.replace(/^\./, "")}`}, which JSON can't hold.`,
    "Use strings, finite numbers, booleans, null, arrays and plain objects: a Date or bigint as text, say.",
  );
}
