// The workload's plan: a seed sends the same statements again, and what texts a value has on either side of Kafka.
import { expect, test } from "vitest";
import { canonicalOfOutput, canonicalText } from "../../torture/canonical.ts";
import { seeded } from "../../torture/random.ts";
import { FRAME_NAMES, Planner, type PlanOptions } from "../../torture/workload/plan.ts";
import { literal, sql } from "../../torture/workload/statement.ts";

const plans = (seed: string, writer: number, count: number, options: PlanOptions = {}) => {
  const planner = new Planner(seeded(seed), writer, options);
  return Array.from({ length: count }, () => planner.next());
};

test("the same seed gives the same transactions to the same writer", () => {
  const some = plans("seed", 1, 300);
  expect(plans("seed", 1, 300)).toEqual(some);
  expect(plans("seed", 2, 300)).not.toEqual(some);
  expect(plans("other", 1, 300)).not.toEqual(some);
});

test("every kind of transaction comes within one deck", () => {
  const deck = plans("deck", 0, 410, { frames: { evolve: 5 } });
  expect(new Set(deck.map(({ frame }) => frame))).toEqual(new Set(FRAME_NAMES));
  expect(new Set(plans("deck", 0, 800, { frames: { plain: 1, bulk: 0 } }).map(({ frame }) => frame))).not.toContain(
    "bulk",
  );
});

test("what can't run inside PL/pgSQL or one query is not planned there", () => {
  for (const { frame, together, statements } of plans("where", 0, 2_000)) {
    if (together || frame === "exception") expect(statements.every((statement) => "sql" in statement)).toBe(true);
  }
});

test("values are literals, and keep their line breaks", () => {
  expect(sql`SELECT ${"it's\n  \\"},
    ${1}, ${null}, ${10n ** 18n}, ${true}`).toEqual({
    sql: "SELECT  E'it''s\n  \\\\', 1, NULL, 1000000000000000000, true",
  });
  expect(literal("")).toBe("''");
});

test("a value has one text, however it travels", () => {
  const same: [output: string, wire: unknown, type: string | undefined][] = [
    ["t", true, "bool"],
    ["f", false, "bool"],
    ["-32768", -32768, "int2"],
    ["4294967295", 4294967295, "oid"],
    ["1e-07", 1e-7, "float8"],
    ["1e+15", 1e15, "float8"],
    ["-0", -0, "float4"],
    ["NaN", "NaN", "float4"],
    ["-Infinity", "-Infinity", "float8"],
    ["9007199254740993", "9007199254740993", undefined],
    ["1.00", "1.00", undefined],
  ];
  for (const [output, wire, type] of same) expect(canonicalText(wire, type)).toBe(canonicalOfOutput(output, type));
  expect(canonicalText(null, "bool")).toBe(null);
  expect(canonicalOfOutput(null, "float8")).toBe(null);
});

test("a value of the wrong form equals nothing", () => {
  const wrong: [wire: unknown, type: string | undefined, output: string][] = [
    [1, undefined, "1"],
    ["1", "int4", "1"],
    ["t", "bool", "t"],
    [1, "bool", "t"],
    ["1", "float8", "1"],
    [true, undefined, "t"],
  ];
  for (const [wire, type, output] of wrong) expect(canonicalText(wire, type)).not.toBe(canonicalOfOutput(output, type));
  expect(canonicalText(-0, "float8")).not.toBe(canonicalText(0, "float8"));
});
