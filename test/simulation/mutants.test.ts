// The simulation can fail: each mutant of the product breaks something that it sees.
import { describe, expect, test } from "vitest";
import { runSeedsApart } from "./child.ts";
import { MUTANTS } from "./mutants/mutants.ts";

/** As many seeds as CI runs. */
const SEEDS = "2000";

describe("seen", { concurrent: true, timeout: 600_000 }, () => {
  test.each(MUTANTS)("$name", async ({ name, from, seen }) => {
    const said = await runSeedsApart(["--from", String(from), "--seeds", SEEDS, "--stop-at-first"], name);
    expect(said).toMatch(seen);
  });
});
