// A call from within a step of the consumer is told from all others.
import { expect, test } from "vitest";
import { OwnStep } from "../../../src/sdk/consumer/own-step.ts";

test("inside is what the step called, across awaits; not what runs beside it", async () => {
  const step = new OwnStep();
  const gate = Promise.withResolvers<void>();
  const seen: boolean[] = [];
  const running = step.run(async () => {
    seen.push(step.isInside);
    await gate.promise;
    seen.push(step.isInside);
  });
  expect(step.isInside).toBe(false);
  gate.resolve();
  await running;
  expect(seen).toEqual([true, true]);
  expect(step.isInside).toBe(false);
});

test("what a step left behind is outside once the step is over, also when it failed", async () => {
  const step = new OwnStep();
  const gate = Promise.withResolvers<void>();
  let left: Promise<boolean> | undefined;
  const running = step.run(async () => {
    left = gate.promise.then(() => step.isInside);
    throw new Error("handler");
  });
  await expect(running).rejects.toThrow("handler");
  gate.resolve();
  expect(await left).toBe(false);
});

test("a step of one consumer is outside for another", async () => {
  const [one, other] = [new OwnStep(), new OwnStep()];
  expect(await one.run(async () => [one.isInside, other.isInside])).toEqual([true, false]);
});
