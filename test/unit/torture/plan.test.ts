// A run's plan comes of its seed alone, and shows as many different faults as its rounds allow.
import { expect, test } from "vitest";
import { FAULTS } from "../../torture/nemesis/faults.ts";
import { mayMount, planRun, type RunOptions } from "../../torture/plan.ts";
import { SHORT_RUN } from "../../torture/short-run.ts";

const dealt = (options: RunOptions) => planRun(options).flatMap(({ rounds }) => rounds.map(({ fault }) => fault));

test("the same seed plans the same, another one something else", () => {
  const options = { seed: "plan", rounds: 45 };
  expect(planRun(options)).toEqual(planRun(options));
  expect(planRun({ ...options, seed: "other" })).not.toEqual(planRun(options));
  expect(planRun(options).map(({ rounds }) => rounds.length)).toEqual([20, 20, 5]);
});

test("no fault comes twice before all have come that these clusters can suffer", () => {
  for (const seed of ["a", "b", "c", "d"]) {
    const short = dealt({ ...SHORT_RUN, seed });
    expect(new Set(short).size).toBe(short.length);
    const possible = FAULTS.filter(({ needs }) => needs !== "mount" || mayMount()).length;
    const long = dealt({ seed, rounds: possible, roundsPerHistory: 5 });
    expect(new Set(long).size).toBe(possible);
  }
});

test("what needs a cluster is dealt into histories that have one", () => {
  const cluster = new Set(FAULTS.filter(({ needs }) => needs === "cluster").map(({ name }) => name));
  for (const { nodes, rounds } of planRun({ seed: "cluster", rounds: 300 })) {
    if (nodes === 1) expect(rounds.filter(({ fault }) => cluster.has(fault))).toEqual([]);
  }
  expect(() => planRun({ seed: "x", rounds: 1, nodes: 1, faults: ["two-brokers-down"] })).toThrow("None of these");
});

test("few faults come in turn", () => {
  const names = dealt({ seed: "few", rounds: 12, faults: ["kill-daemon", "kill-view", "kill-both"] });
  for (const name of ["kill-daemon", "kill-view", "kill-both"])
    expect(names.filter((one) => one === name)).toHaveLength(4);
});
