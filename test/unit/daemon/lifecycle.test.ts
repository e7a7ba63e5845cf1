// Which state may follow which.
import { describe, expect, test } from "vitest";
import { backoffMs } from "../../../src/daemon/backoff.ts";
import { Lifecycle } from "../../../src/daemon/lifecycle.ts";
import { STATES, type State } from "../../../src/daemon/status.ts";

/** A way from the start to every state. */
const WAY: Readonly<Record<State, readonly State[]>> = {
  starting: [],
  preflight: ["preflight"],
  standby: ["preflight", "standby"],
  snapshotting: ["preflight", "streaming", "snapshotting"],
  streaming: ["preflight", "streaming"],
  "backing-off": ["preflight", "backing-off"],
  draining: ["preflight", "streaming", "draining"],
  stopped: ["preflight", "draining", "stopped"],
  halted: ["halted"],
};

const ALLOWED: Readonly<Record<State, readonly State[]>> = {
  // A stop may come before the first look at anything.
  starting: ["preflight", "draining", "halted"],
  preflight: ["standby", "snapshotting", "streaming", "backing-off", "draining", "halted"],
  standby: ["preflight", "snapshotting", "streaming", "backing-off", "draining", "halted"],
  snapshotting: ["preflight", "streaming", "backing-off", "draining", "halted"],
  streaming: ["preflight", "snapshotting", "backing-off", "draining", "halted"],
  "backing-off": ["preflight", "snapshotting", "streaming", "draining", "halted"],
  draining: ["stopped", "halted"],
  stopped: ["halted"],
  halted: [],
};

function at(state: State): { lifecycle: Lifecycle; said: State[] } {
  const said: State[] = [];
  const lifecycle = new Lifecycle((next) => said.push(next));
  for (const step of WAY[state]) {
    lifecycle.transitionTo(step);
  }
  expect(lifecycle.state).toBe(state);
  said.length = 0;
  return { lifecycle, said };
}

describe.each(STATES)("from %s", (from) => {
  test.each(STATES.filter((to) => to !== from))("to %s", (to) => {
    const { lifecycle, said } = at(from);
    if (ALLOWED[from].includes(to)) {
      lifecycle.transitionTo(to);
      expect(lifecycle.state).toBe(to);
      expect(said).toEqual([to]);
    } else {
      expect(() => lifecycle.transitionTo(to)).toThrow(TypeError);
      expect(lifecycle.state).toBe(from);
      expect(said).toEqual([]);
    }
  });

  test("to itself says nothing", () => {
    const { lifecycle, said } = at(from);
    lifecycle.transitionTo(from);
    expect(said).toEqual([]);
  });
});

test("since is when the state was entered", () => {
  const lifecycle = new Lifecycle(() => undefined);
  expect(lifecycle.since).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
});

test("waiting grows with every failure, up to some 10 s, and is never the same for many daemons", () => {
  const waits = Array.from({ length: 12 }, (_, failures) => backoffMs(failures, 0.5));
  expect(waits.slice(0, 4)).toEqual([250, 500, 1_000, 2_000]);
  expect(waits.slice(6)).toEqual(Array(6).fill(10_000));
  expect(backoffMs(1_000_000, 1)).toBe(11_000);
  expect(backoffMs(0, 0)).toBe(225);
  expect(backoffMs(0, 1)).toBe(275);
});
