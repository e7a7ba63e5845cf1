// One text for each value, so that wire, audit, tables and view can be compared byte by byte.
//
// It is the output of the type's output function, which is also what pgoutput sends (`t` and `f` for a boolean, an
// `inet` without `/32`, a padded `char(n)`; a cast to text differs in all three). The one exception are floats: the wire
// carries them as JSON numbers, whose text a JSON parser throws away, so both sides use JavaScript's text of the number.
// Different floats have different ones: what Postgres prints is exact.

/** Types whose values the wire carries as JSON numbers or booleans. */
export const JSON_TYPES: ReadonlySet<string> = new Set(["bool", "int2", "int4", "oid", "float4", "float8"]);

/** The canonical text of what a type's output function printed. */
export function canonicalOfOutput(text: string | null, type: string | undefined): string | null {
  return text !== null && (type === "float4" || type === "float8") ? numberText(Number(text)) : text;
}

/**
 * The canonical text of a value as JSON gives it, in an event's `before`, `after` or `key`. `type` is that of
 * `TableSpec.types`. What the wire must not carry for that type becomes a text that equals nothing.
 */
export function canonicalText(value: unknown, type: string | undefined): string | null {
  if (value === null) return null;
  switch (type) {
    case "bool":
      return typeof value === "boolean" ? (value ? "t" : "f") : wrong(value);
    case "int2":
    case "int4":
    case "oid":
      return Number.isSafeInteger(value) && !Object.is(value, -0) ? String(value) : wrong(value);
    case "float4":
    case "float8":
      if (typeof value === "number") return numberText(value);
      return value === "NaN" || value === "Infinity" || value === "-Infinity" ? value : wrong(value);
    default:
      return typeof value === "string" ? value : wrong(value);
  }
}

function numberText(value: number): string {
  return Object.is(value, -0) ? "-0" : String(value);
}

function wrong(value: unknown): string {
  return `not of this type: ${typeof value} ${JSON.stringify(value)}`;
}
