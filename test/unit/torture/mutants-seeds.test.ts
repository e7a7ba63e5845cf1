// Mutants choose their victims by what they need, never by luck: each is found in every one of many different histories.
import { expect, test } from "vitest";
import { check } from "../../torture/checker/check.ts";
import { MUTANTS, mutated } from "../../torture/mutants.ts";
import { syntheticEvidence } from "./synthetic.ts";

/** A few in each run; more by AFTERIMAGE_MUTANT_SEEDS. */
const SEEDS = Number(process.env.AFTERIMAGE_MUTANT_SEEDS ?? 4);

test.each(Array.from({ length: SEEDS }, (_, seed) => seed))("every mutant of history %i is found", (seed) => {
  const evidence = syntheticEvidence({ seed, rounds: 12 + (seed % 12) });
  expect(check(evidence).violations).toEqual([]);
  const missed = MUTANTS.flatMap((mutant) => {
    const { violations } = check(mutated(mutant, evidence));
    const isFound = ([invariant, kind, what]: (typeof mutant.finds)[number]) =>
      violations.some((one) => one.invariant === invariant && one.kind === kind && one.what.startsWith(what));
    return mutant.finds.every(isFound) ? [] : [mutant.name];
  });
  expect(missed).toEqual([]);
});

const EVIDENCE = syntheticEvidence();

/** Mutants take what stands in the middle: here that is always of this table. */
test.each(EVIDENCE.tables)("every mutant changes something when $table stands in the middle", ({ topic }) => {
  const others = EVIDENCE.records.filter((record) => record.topic !== topic);
  const own = EVIDENCE.records.filter((record) => record.topic === topic);
  const half = others.length >> 1;
  const records = [...others.slice(0, half), ...own, ...others.slice(half)];
  for (const mutant of MUTANTS) expect(() => mutated(mutant, { ...EVIDENCE, records })).not.toThrow();
});

test("a mutant that changes nothing is an error of the mutant", () => {
  const idle = {
    name: "idle",
    finds: [],
    mutate: (evidence: ReturnType<typeof syntheticEvidence>) => ({ ...evidence }),
  };
  expect(() => mutated(idle, syntheticEvidence({ rounds: 2 }))).toThrow("changes nothing");
});
