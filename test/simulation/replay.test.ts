// A failing seed is worth something only when it comes again exactly.
import { expect, test } from "vitest";
import { simulate } from "./simulation.ts";

test("the same seed gives the same trace, byte by byte, whatever ran before it", async () => {
  const traces = new Map<number, string>();
  for (const seed of [3, 17, 96, 163]) {
    traces.set(seed, (await simulate(seed, true)).trace.join("\n"));
  }
  for (const [seed, before] of [...traces].reverse()) {
    const again = (await simulate(seed, true)).trace.join("\n");
    expect(again.length).toBeGreaterThan(1_000);
    expect(again === before).toBe(true);
  }
  expect(new Set(traces.values()).size).toBe(traces.size);
});

test("with and without a trace it is the same run", async () => {
  for (const seed of [5, 42]) {
    const { trace: _, ...told } = await simulate(seed, true);
    const { trace: __, ...untold } = await simulate(seed, false);
    expect(untold).toEqual(told);
  }
});
