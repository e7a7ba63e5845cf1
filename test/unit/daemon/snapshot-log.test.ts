// How often, and what, the log says of a snapshot.
import { expect, test } from "vitest";
import { SnapshotLog } from "../../../src/daemon/snapshot-log.ts";
import type { SnapshotStatus } from "../../../src/daemon/status.ts";

const reading = (what: Partial<SnapshotStatus>): SnapshotStatus => ({
  table: "public.t",
  rows: 0,
  estimatedRows: null,
  rowsPerSecond: 0,
  secondsLeft: null,
  waitingFor: null,
  ...what,
});

test("a line every ten seconds, once there is something to tell", () => {
  const log = new SnapshotLog();
  expect(log.lines([], 0)).toEqual([]);
  expect(log.lines([reading({})], 1)).toEqual([]);
  const half = reading({ rows: 50, estimatedRows: 100, rowsPerSecond: 25, secondsLeft: 2 });
  expect(log.lines([half], 2)).toEqual(["reading public.t: 50 %, 50 rows, 25 a second, 2 s left"]);
  expect(log.lines([half], 10_001)).toEqual([]);
  expect(log.lines([reading({ waitingFor: "a lock on the table" })], 10_002)).toEqual([
    "reading public.t: 0 rows, waits for a lock on the table",
  ]);
});
