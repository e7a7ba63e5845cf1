// Standby status updates: their bytes, and that they never name more than what was confirmed.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { encodeStatusUpdate, Feedback } from "../../../src/source/feedback.ts";
import { lsn } from "../event/tables.ts";

beforeEach(() => void vi.useFakeTimers({ now: 946_684_800_000 + 1_500 }));
afterEach(() => void vi.useRealTimers());

test("write, flush and apply are the same LSN, unchanged: plus one would skip an adjacent commit", () => {
  const update = encodeStatusUpdate(lsn(0xffff_ffff_ffff_fff0n), 946_684_800_000 + 1_500);
  expect(update.toString("hex")).toBe(
    "72" + "fffffffffffffff0" + "fffffffffffffff0" + "fffffffffffffff0" + "000000000016e360" + "00",
  );
});

test("a reply can be asked for; what is confirmed is the same", () => {
  const { feedback, sent, asked } = recorded();
  feedback.confirm(lsn(200));
  feedback.ask();
  feedback.send();
  expect(sent).toEqual([200n, 200n, 200n]);
  expect(asked).toEqual([0, 1, 0]);
});

/** What was sent: the LSN, once it is the same in all three places. */
function recorded() {
  const sent: bigint[] = [];
  const asked: number[] = [];
  const feedback = new Feedback((update) => {
    const [write, flush, apply] = [1, 9, 17].map((at) => update.readBigUInt64BE(at));
    expect([flush, apply]).toEqual([write, write]);
    expect(update.length).toBe(34);
    asked.push(update[33]!);
    sent.push(write!);
  });
  return { feedback, sent, asked };
}

test("before anything is confirmed it says 0/0, at once and then regularly", () => {
  const { feedback, sent, asked } = recorded();
  feedback.start();
  expect(sent).toEqual([0n]);
  vi.advanceTimersByTime(2_000);
  expect(sent.length).toBeGreaterThanOrEqual(4);
  expect(new Set(sent)).toEqual(new Set([0n]));
  expect(new Set(asked)).toEqual(new Set([0]));
  feedback.stop();
});

test("a confirmation is sent at once, kept, and never taken back", () => {
  const { feedback, sent } = recorded();
  feedback.confirm(lsn(200));
  feedback.confirm(lsn(100));
  feedback.confirm(lsn(200));
  expect(sent).toEqual([200n]);
  expect(feedback.confirmed).toBe(200n);
  feedback.send();
  feedback.confirm(lsn(201));
  expect(sent).toEqual([200n, 200n, 201n]);
});

test("stopped, it says nothing by itself; stopping twice is fine", () => {
  const { feedback, sent } = recorded();
  feedback.start();
  feedback.stop();
  feedback.stop();
  vi.advanceTimersByTime(10_000);
  expect(sent).toEqual([0n]);
  expect(vi.getTimerCount()).toBe(0);
});
