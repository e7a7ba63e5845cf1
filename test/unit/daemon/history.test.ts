// What the dashboard's curves are drawn of: the last half hour, and no more in memory.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { History } from "../../../src/daemon/history.ts";

let events: number;
let history: History;

beforeEach(() => {
  vi.useFakeTimers();
  events = 0;
  history = new History(() => ({ lagBytes: 7, lagSeconds: 0.5, events: ++events, bytes: 100, retainedBytes: null }));
});
afterEach(() => {
  history.close();
  vi.useRealTimers();
});

test("a point every two seconds, in order", () => {
  vi.advanceTimersByTime(6_000);
  const { everySeconds, points } = history.after(0);
  expect(everySeconds).toBe(2);
  expect(points.map((point) => point.slice(1))).toEqual([1, 2, 3].map((count) => [7, 0.5, count, 100, null]));
  expect(points.map(([at]) => Math.round(at - points[0]![0]))).toEqual([0, 2, 4]);
  expect(history.after(points[0]![0]).points).toEqual(points.slice(1));
});

test("half an hour is kept, however long it runs", () => {
  vi.advanceTimersByTime(10 * 3_600_000);
  const { points } = history.after(0);
  expect(points).toHaveLength(900);
  expect(points.at(-1)![3]).toBe(18_000);
  expect(points[0]![3]).toBe(18_000 - 899);
});

test("closed, it looks no more", () => {
  history.close();
  vi.advanceTimersByTime(60_000);
  expect(history.after(0).points).toEqual([]);
});
