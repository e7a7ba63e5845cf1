// Two thousand seeds: nothing lost, nothing doubled, nothing confirmed early, whatever the storm was; and the storm was one:
// every kind of fault came, and the code was led through its steps.
import { expect, test } from "vitest";
import { FAILPOINTS } from "../../src/failpoint.ts";
import { runSeedsApart } from "./child.ts";
import { FAULTS } from "./storm.ts";

/** What a session passes; the others are the daemon's, the consumer's, those of `drop`, and those of a publication. */
const PASSED = FAILPOINTS.filter((name) =>
  /^(session|slot|topics|producer|progress|pipeline|batch|publisher|appender|publish-loop|feedback)\./.test(name),
);

test("seeds 1 to 2000", { timeout: 600_000 }, async () => {
  const parts = await Promise.all(["1", "1001"].map((from) => runSeedsApart(["--from", from, "--seeds", "1000"])));
  for (const said of parts) {
    const wordsAfter = (start: string) => new RegExp(`^${start}: (.*)$`, "m").exec(said)?.[1]?.split(/[ ,]+/) ?? [said];
    expect(said).toMatch(/^seeds 1000, events \d{5,}, .* broken 0$/m);
    expect(wordsAfter("failpoints reached")).toEqual([...PASSED].sort());
    expect(wordsAfter("faults")).toEqual(expect.arrayContaining([...FAULTS]));
  }
});
