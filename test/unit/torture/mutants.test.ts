// The checker can fail: each way in which a history can be wrong is found, and found as what it is.
import { expect, test } from "vitest";
import { check } from "../../torture/checker/check.ts";
import { putTogether, takeApart } from "../../torture/forge.ts";
import { MUTANTS, mutated } from "../../torture/mutants.ts";
import { syntheticEvidence } from "./synthetic.ts";

const evidence = syntheticEvidence();

test("evidence that is taken apart and put together has no violation", () => {
  expect(check(putTogether(evidence, takeApart(evidence))).violations).toEqual([]);
});

test.each(MUTANTS)("$name: found", (mutant) => {
  const { violations } = check(mutated(mutant, evidence));
  for (const [invariant, kind, what] of mutant.finds) {
    expect(violations).toContainEqual({ invariant, kind, what: expect.stringMatching(`^${what}`) });
  }
});

test("every invariant has a mutant", () => {
  const found = new Set(MUTANTS.flatMap(({ finds }) => finds.map(([invariant]) => invariant)));
  expect([...found].sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
});

test("no mutant changes the evidence it is made of", () => {
  for (const { mutate } of MUTANTS) mutate(evidence);
  expect(check(evidence).violations).toEqual([]);
});
