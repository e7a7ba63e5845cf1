// Attempts end at a time limit, and only what may be repeated is repeated.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Again, Deadline, untilAnswered, untilDeadline } from "../../../src/kafka/deadline.ts";
import { unreachable } from "../../../src/kafka/errors.ts";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["performance"] });
});
afterEach(() => {
  vi.useRealTimers();
});

test("an attempt is made again until it succeeds", async () => {
  let attempts = 0;
  const result = await untilDeadline(new Deadline(5_000), async () =>
    ++attempts < 3 ? new Again(new Error("no"), 0) : attempts,
  );
  expect(result).toBe(3);
});

test("the last reason is thrown when the time is up", async () => {
  let attempts = 0;
  const attempt = async () => {
    vi.advanceTimersByTime(4);
    return new Again(new Error(`attempt ${++attempts}`), 1);
  };
  await expect(untilDeadline(new Deadline(10), attempt)).rejects.toThrow("attempt 3");
  await expect(untilDeadline(new Deadline(0), async () => new Again(new Error("once"), 0))).rejects.toThrow("once");
});

test("a missing reply ends untilDeadline and not untilAnswered", async () => {
  let attempts = 0;
  const attempt = async () => {
    if (++attempts === 1) {
      throw unreachable("gone", true);
    }
    return attempts;
  };
  await expect(untilDeadline(new Deadline(5_000), attempt)).rejects.toMatchObject({ code: "KAFKA_UNREACHABLE" });
  attempts = 0;
  await expect(untilAnswered(new Deadline(5_000), attempt)).resolves.toBe(2);
  await expect(untilAnswered(new Deadline(5_000), () => Promise.reject(new Error("bug")))).rejects.toThrow("bug");
});
