// How long a Kafka that does not answer is waited for, and what is not waited for at all.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { AfterimageError } from "../../../src/errors.ts";
import { Absence, throughAbsence } from "../../../src/sink/absence.ts";

const failure = (code: string) => new AfterimageError(code, "No answer.", "Wait.");

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
});
afterEach(() => {
  vi.useRealTimers();
});

test("two minutes from the first failure on; an answer begins them anew", () => {
  const absence = new Absence();
  const away = failure("KAFKA_UNREACHABLE");
  expect(absence.bears(away)).toBe(true);
  vi.advanceTimersByTime(119_000);
  expect(absence.bears(failure("KAFKA_NOT_READY"))).toBe(true);
  absence.answered();
  vi.advanceTimersByTime(119_000);
  expect(absence.bears(away)).toBe(true);
  vi.advanceTimersByTime(120_000);
  expect(absence.bears(away)).toBe(false);
});

test("several steps under one patience: those that succeed in between don't begin it anew", async () => {
  const absence = new Absence();
  const unknown = failure("KAFKA_OUTCOME_UNKNOWN");
  expect(absence.bears(unknown)).toBe(true);
  vi.advanceTimersByTime(60_000);
  expect(await throughAbsence(async () => "answered", absence)).toBe("answered");
  vi.advanceTimersByTime(60_000);
  await expect(throughAbsence(() => Promise.reject(unknown), absence)).rejects.toBe(unknown);
});

test.each([
  ["a connection that was closed", failure("KAFKA_CLOSED")],
  ["a newer daemon", failure("PRODUCER_FENCED")],
  ["a topic that is gone", failure("TOPIC_MISSING")],
  ["a bug", new TypeError("x is not a function")],
])("%s is not waited for", async (_, error) => {
  let calls = 0;
  const step = async () => {
    calls++;
    throw error;
  };
  await expect(throughAbsence(step, new Absence())).rejects.toBe(error);
  expect(calls).toBe(1);
});

test("a step is repeated until it is answered, or the time is up", async () => {
  vi.useRealTimers();
  let calls = 0;
  const step = async () => {
    if (calls++ < 2) throw failure("KAFKA_UNREACHABLE");
    return "answered";
  };
  expect(await throughAbsence(step, new Absence())).toBe("answered");
  expect(calls).toBe(3);
});
