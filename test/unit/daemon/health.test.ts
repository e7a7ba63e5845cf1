// When the daemon calls itself healthy and ready, and what it says of why.
import { expect, test } from "vitest";
import { health, readiness } from "../../../src/daemon/health.ts";
import { type ReportedError, STATES, type State } from "../../../src/daemon/status.ts";

const lastError: ReportedError = {
  code: "KAFKA_UNREACHABLE",
  message: "broker-1.internal:9092 does not answer",
  advice: "Start it.",
  at: "2026-11-22T18:00:55.000Z",
};
const READY: readonly State[] = ["standby", "snapshotting", "streaming"];

test.each(STATES)("%s", (state) => {
  const [alive, ready] = [health({ state, lastError }), readiness({ state, lastError })];
  expect([alive.ok, ready.ok]).toEqual([state !== "halted", READY.includes(state)]);
  for (const { state: told, reason } of [alive, ready]) {
    expect(told).toBe(state);
    expect(reason).not.toBe("");
    expect(reason, "anybody may ask").not.toContain("broker-1");
  }
});

test("an error is named where it is the reason, and only there", () => {
  const reasons = (state: State) => [health({ state, lastError }).reason, readiness({ state, lastError }).reason];
  expect(reasons("backing-off")[1]).toContain("KAFKA_UNREACHABLE");
  expect(reasons("halted").every((reason) => reason.includes("KAFKA_UNREACHABLE"))).toBe(true);
  expect(reasons("streaming").some((reason) => reason.includes("KAFKA_UNREACHABLE"))).toBe(false);
  expect(readiness({ state: "backing-off", lastError: null }).reason).not.toContain("after");
});
