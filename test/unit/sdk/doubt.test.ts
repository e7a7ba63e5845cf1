// When a topic's absence is believed.
import { expect, test } from "vitest";
import { Doubt } from "../../../src/sdk/consumer/doubt.ts";

test("a denial is believed when it was repeated for five seconds", () => {
  const doubt = new Doubt();
  expect([0, 100, 4_999, 5_000].map((now) => doubt.believes("a", 1_000 + now))).toEqual([false, false, false, true]);
  expect(doubt.believes("b", 6_000)).toBe(false);
});

test("a topic seen again ends the doubt in it alone", () => {
  const doubt = new Doubt();
  doubt.believes("a", 0);
  doubt.believes("b", 0);
  doubt.settle("a");
  expect(doubt.believes("a", 5_000)).toBe(false);
  expect(doubt.believes("b", 5_000)).toBe(true);
});

test("an outage is no evidence: the broker that answers after it is asked for five seconds again", () => {
  const doubt = new Doubt();
  doubt.believes("a", 0);
  doubt.beginAgain();
  expect(doubt.believes("a", 30_000)).toBe(false);
  expect(doubt.believes("a", 35_000)).toBe(true);
});
