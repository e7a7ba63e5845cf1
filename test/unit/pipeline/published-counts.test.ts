// What is counted of batches: events by topic in runs, also of one event, none, and several sessions.
import { expect, test } from "vitest";
import { PublishedCounts } from "../../../src/pipeline/published-counts.ts";

const batch = (topics: string, bytes = 10) => ({ events: [...topics].map((topic) => ({ topic })), bytes });

test.each([
  ["", {}],
  ["a", { a: 1 }],
  ["aaa", { a: 3 }],
  ["aabba", { a: 3, b: 2 }],
  ["abab", { a: 2, b: 2 }],
  ["aab", { a: 2, b: 1 }],
] as const)("a batch of %j", (topics, counts) => {
  const counted = new PublishedCounts();
  counted.add(batch(topics), 250);
  expect(Object.fromEntries(counted.byTopic)).toEqual(counts);
  expect(counted).toMatchObject({ events: topics.length, bytes: 10, transactions: 1, seconds: 0.25 });
});

test("several add up, and so do those of several sessions", () => {
  const [before, now] = [new PublishedCounts(), new PublishedCounts()];
  before.add(batch("ab"), 1000);
  before.add(batch("", 0), 500);
  now.add(batch("bc", 5), 500);
  before.merge(now);
  expect(before).toMatchObject({ events: 4, bytes: 15, transactions: 3, seconds: 2 });
  expect(Object.fromEntries(before.byTopic)).toEqual({ a: 1, b: 2, c: 1 });
  expect(Object.fromEntries(now.byTopic)).toEqual({ b: 1, c: 1 });
});
