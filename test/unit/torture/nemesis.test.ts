// A fault's plan is all that is random in it: the same seed draws the same, as JSON, and no fault is there twice.
import { describe, expect, test } from "vitest";
import { FAULTS } from "../../torture/nemesis/faults.ts";
import { seeded } from "../../torture/random.ts";

test("every fault has a name of its own", () => {
  expect(new Set(FAULTS.map(({ name }) => name)).size).toBe(FAULTS.length);
  for (const { name } of FAULTS) expect(name).toMatch(/^[a-z]+(-[a-z]+)*$/);
});

describe.each(FAULTS)("$name", ({ plan }) => {
  const drawn = Array.from({ length: 50 }, (_, seed) => plan(seeded(seed)));

  test("draws the same from the same seed, and something else from another one", () => {
    expect(Array.from({ length: 50 }, (_, seed) => plan(seeded(seed)))).toEqual(drawn);
    expect(new Set(drawn.map((parameters) => JSON.stringify(parameters))).size).toBeGreaterThan(5);
  });

  test("draws what JSON can carry", () => {
    for (const parameters of drawn) {
      expect(JSON.parse(JSON.stringify(parameters))).toEqual(parameters);
      expect(Object.values(parameters).filter((value) => Number.isNaN(value))).toEqual([]);
    }
  });
});
