// The socket is paused when too much is held, and read again once a quarter of it is gone.
import { expect, test } from "vitest";
import { ByteBudget } from "../../../src/pipeline/byte-budget.ts";

test("full above the limit, free below three quarters of it, each said once", () => {
  const said: string[] = [];
  const budget = new ByteBudget(
    100,
    () => said.push("full"),
    () => said.push("free"),
  );
  budget.take(100);
  expect(said).toEqual([]);
  expect(budget.full).toBe(false);
  budget.take(1);
  budget.take(50);
  expect(budget.full).toBe(true);
  budget.release(76);
  expect(said).toEqual(["full"]);
  budget.release(1);
  expect(said).toEqual(["full", "free"]);
  expect(budget.full).toBe(false);
  budget.release(74);
  budget.take(101);
  expect(said).toEqual(["full", "free", "full"]);
});
