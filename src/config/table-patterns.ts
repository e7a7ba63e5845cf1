// Which tables a list of patterns means: "public.*", "public.orders", "\"a.b\".*", "!public.audit".
// A part is taken as it is written: unlike in SQL, `public.Orders` means "Orders", never orders.

export interface TablePattern {
  readonly exclude: boolean;
  readonly schema: NamePattern;
  readonly table: NamePattern;
}

interface NamePattern {
  /** The name itself; null when the part has a wildcard. */
  readonly literal: string | null;
  readonly matches: RegExp;
  /** The same as a pattern of SQL's LIKE. */
  readonly like: string;
}

const PART = '"(?:[^"]|"")+"|[^".!]+';
const PATTERN = new RegExp(`^(!?)\\s*(${PART})\\.(${PART})$`);

/** Reads one pattern; undefined when it is none. */
export function parseTablePattern(text: string): TablePattern | undefined {
  const match = PATTERN.exec(text.trim());
  if (match === null) return undefined;
  return { exclude: match[1] === "!", schema: parsePart(match[2]!), table: parsePart(match[3]!) };
}

function parsePart(text: string): NamePattern {
  const quoted = text.startsWith('"');
  const name = quoted ? text.slice(1, -1).replaceAll('""', '"') : text;
  const wild = !quoted && name.includes("*");
  const pieces = wild ? name.split("*") : [name];
  const source = pieces.map((piece) => piece.replaceAll(/[\\^$.*+?()[\]{}|]/g, "\\$&")).join(".*");
  const like = pieces.map((piece) => piece.replaceAll(/[\\%_]/g, "\\$&")).join("%");
  return { literal: wild ? null : name, matches: new RegExp(`^${source}$`, "s"), like };
}

const parsed = new WeakMap<readonly string[], readonly TablePattern[]>();

/**
 * True when some pattern includes the table and none excludes it; the order of the patterns doesn't matter.
 * `patterns` have been checked when the configuration was read: one that can't be parsed matches nothing.
 */
export function matchesTable(patterns: readonly string[], schema: string, table: string): boolean {
  let compiled = parsed.get(patterns);
  if (compiled === undefined) {
    compiled = patterns.map(parseTablePattern).filter((pattern) => pattern !== undefined);
    parsed.set(patterns, compiled);
  }
  let included = false;
  for (const pattern of compiled) {
    if (pattern.schema.matches.test(schema) && pattern.table.matches.test(table)) {
      if (pattern.exclude) return false;
      included = true;
    }
  }
  return included;
}
