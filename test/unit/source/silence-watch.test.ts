// A connection nobody answers on is cut in time, and one that is silent for a reason is not.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { SilenceWatch } from "../../../src/source/silence-watch.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function watched() {
  const connection = {
    bytesRead: 0,
    reading: true,
    cuts: 0,
    asked: 0,
    cut() {
      this.cuts++;
    },
  };
  const watch = new SilenceWatch(connection, () => {
    connection.asked++;
  });
  watch.start(30_000);
  return { connection, watch };
}

test("cut after the deadline, once, and asked for a sign before", () => {
  const { connection } = watched();
  vi.advanceTimersByTime(29_000);
  expect(connection).toMatchObject({ cuts: 0, asked: 9 });
  vi.advanceTimersByTime(1_000);
  expect(connection.cuts).toBe(1);
  vi.advanceTimersByTime(100_000);
  expect(connection).toMatchObject({ cuts: 1, asked: 9 });
  expect(vi.getTimerCount()).toBe(0);
});

test("a single byte is a sign", () => {
  const { connection, watch } = watched();
  for (let round = 0; round < 10; round++) {
    vi.advanceTimersByTime(25_000);
    connection.bytesRead++;
  }
  expect(connection.cuts).toBe(0);
  watch.stop();
});

test("a paused socket is neither asked nor cut, and starts anew when it is read again", () => {
  const { connection } = watched();
  vi.advanceTimersByTime(27_000);
  connection.reading = false;
  vi.advanceTimersByTime(300_000);
  expect(connection).toMatchObject({ cuts: 0, asked: 9 });
  connection.reading = true;
  vi.advanceTimersByTime(29_000);
  expect(connection.cuts).toBe(0);
  vi.advanceTimersByTime(1_000);
  expect(connection.cuts).toBe(1);
});

test("stopped, it does nothing", () => {
  const { connection, watch } = watched();
  watch.stop();
  vi.advanceTimersByTime(100_000);
  expect(connection).toMatchObject({ cuts: 0, asked: 0 });
});
