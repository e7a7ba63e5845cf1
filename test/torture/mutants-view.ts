// Mutants of what tables and view hold.
import type { Contents, Evidence, TextRow } from "./evidence.ts";
import type { Mutant } from "./mutants.ts";
import { middle, middleIndex, otherColumn, replaced } from "./mutants-tools.ts";

/** A number as well as a text. */
const OTHER = "777";

type Side = "contents" | "view";

const hasOther = (column: string) => (row: TextRow) => row.get(column) !== null && row.get(column) !== OTHER;

/** Changes the rows of the keyed table that has most of them; one has another value in the column than `OTHER`. */
function changeRows(
  evidence: Evidence,
  side: Side,
  change: (rows: readonly TextRow[], column: string) => readonly TextRow[],
): Evidence {
  const contents: Contents = evidence[side] ?? new Map();
  const tables = evidence.tables
    .map((spec) => ({ spec, column: otherColumn(spec), rows: contents.get(spec.table) ?? [] }))
    .filter(({ spec, column, rows }) => spec.key.length > 0 && column !== undefined && rows.some(hasOther(column)))
    .sort((a, b) => b.rows.length - a.rows.length);
  if (tables.length === 0) throw new RangeError("The evidence holds no keyed table with rows.");
  const { spec, column, rows } = tables[0]!;
  return { ...evidence, [side]: new Map([...contents, [spec.table, change(rows, column!)]]) };
}

const otherValue = (rows: readonly TextRow[], column: string) => {
  const at = middleIndex(rows, hasOther(column), "row with another value");
  return replaced(rows, at, new Map([...rows[at]!, [column, OTHER]]));
};

export const VIEW_MUTANTS: readonly Mutant[] = [
  {
    name: "a row of the view is stale",
    finds: [[1, "other", "the view has another value than the topic"]],
    mutate: (evidence) => changeRows(evidence, "view", otherValue),
  },
  {
    name: "a row of the view is missing",
    finds: [[1, "other", "the view lacks a row"]],
    mutate: (evidence) => changeRows(evidence, "view", (rows) => rows.slice(1)),
  },
  {
    name: "the view has a row too many",
    finds: [[1, "other", "the view has a row that the topic does not give"]],
    mutate: (evidence) =>
      changeRows(evidence, "view", (rows) => [...rows, new Map([...rows[0]!].map(([name]) => [name, "-7777777"]))]),
  },
  {
    name: "the view has a row twice",
    finds: [[1, "other", "the view has a row twice"]],
    mutate: (evidence) => changeRows(evidence, "view", (rows) => [...rows, rows[0]!]),
  },
  {
    name: "a row of the table changed without an event",
    finds: [[1, "other", "the table has another value than the topic"]],
    mutate: (evidence) => changeRows(evidence, "contents", otherValue),
  },
  {
    name: "a row without a key is missing in the table",
    finds: [[1, "other", "the table lacks a row"]],
    mutate(evidence) {
      const isKeyless = ({ table, key, identity }: Evidence["tables"][number]) =>
        key.length === 0 && identity === "full" && evidence.contents.get(table)!.length > 0;
      const { table } = middle(evidence.tables, isKeyless, "keyless table with rows");
      return {
        ...evidence,
        contents: new Map([...evidence.contents, [table, evidence.contents.get(table)!.slice(1)]]),
      };
    },
  },
];
