// The checker finds nothing wrong with a faultless history.
import { expect, test } from "vitest";
import { check } from "../../torture/checker/check.ts";
import { syntheticEvidence } from "./synthetic.ts";

test("a faultless history has no violation, and every invariant was held against something", () => {
  const evidence = syntheticEvidence();
  const verdict = check(evidence);
  expect(verdict.violations).toEqual([]);
  expect(verdict).toMatchObject({ lost: 0, duplicated: 0, misordered: 0, transactions: evidence.commits.length });
  expect(verdict.events).toBeGreaterThan(500);
  expect([...verdict.examined.keys()]).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
});
