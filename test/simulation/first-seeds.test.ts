// The first thousand seeds: nothing lost, nothing doubled, nothing confirmed early, whatever the storm was; and the storm
// was one: every kind of fault came, and the code was led through its steps.
import "./failpoint-hook.ts"; // first: the product looks for it when it is loaded
import { expect, test } from "vitest";
import { FAILPOINTS } from "../../src/failpoint.ts";
import { runSeeds } from "./seeds.ts";
import { FAULTS } from "./storm.ts";

/** What a session passes; the others are the daemon's, the consumer's, those of `drop`, and those of a publication. */
const PASSED = FAILPOINTS.filter((name) =>
  /^(session|slot|topics|producer|progress|pipeline|batch|publisher|appender|publish-loop|feedback)\./.test(name),
);

test("seeds 1 to 1000", { timeout: 180_000 }, async () => {
  const totals = await runSeeds(1, 1_000);
  expect(totals.broken).toEqual([]);
  expect([...totals.faults.keys()].sort()).toEqual([...FAULTS].sort());
  expect([...totals.failpoints].sort()).toEqual([...PASSED].sort());
  expect(totals.events).toBeGreaterThan(20_000);
});
