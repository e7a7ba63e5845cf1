// The second thousand seeds, in a process of their own.
import { expect, test } from "vitest";
import { runSeeds } from "./seeds.ts";

test("seeds 1001 to 2000", { timeout: 180_000 }, async () => {
  expect((await runSeeds(1_001, 1_000)).broken).toEqual([]);
});
