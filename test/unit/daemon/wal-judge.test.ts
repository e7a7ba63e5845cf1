// The ladder of what a slot keeps, how fast it grows, and when it is over.
import { describe, expect, test } from "vitest";
import { standbyAwaited, WalJudge, walRetained } from "../../../src/daemon/wal-judge.ts";
import { lsn } from "../event/tables.ts";

const MIB = 1024 ** 2;
const LIMITS = { warn: 10 * MIB, alert: 50 * MIB, giveUp: null };

const retention = (retained: number, more: object = {}) => ({
  retainedBytes: retained * MIB,
  leftBytes: null,
  confirmedFlushLsn: lsn(7),
  walStatus: "reserved",
  failover: false,
  awaitedStandbys: null,
  standbyDaemons: 0,
  ...more,
});

const levelOf = (retained: number, more: object = {}, limits: object = {}) =>
  new WalJudge({ ...LIMITS, ...limits }).judge(retention(retained, more), 0).level;

describe("level", () => {
  test.each([
    [9, {}, {}, "ok"],
    [10, {}, {}, "warn"],
    [50, {}, {}, "alert"],
    [5_000, {}, {}, "alert"],
    // Half and four fifths of what the server keeps at most.
    [4, { leftBytes: 5 * MIB }, {}, "ok"],
    [5, { leftBytes: 5 * MIB }, {}, "warn"],
    [8, { leftBytes: 2 * MIB }, {}, "alert"],
    [9, { leftBytes: -3 * MIB }, {}, "alert"],
    [1, { walStatus: "unreserved" }, {}, "alert"],
    // Only where it is configured.
    [99, {}, { giveUp: 100 * MIB }, "alert"],
    [100, {}, { giveUp: 100 * MIB }, "give-up"],
    [1, { walStatus: "unreserved" }, { giveUp: 100 * MIB }, "give-up"],
  ] as const)("%d MiB kept, %j, %j: %s", (retained, more, limits, level) => {
    expect(levelOf(retained, more, limits)).toBe(level);
  });
});

test("growth and time left are of the last minute", () => {
  const judge = new WalJudge(LIMITS);
  expect(judge.judge(retention(0, { leftBytes: 100 * MIB }), 0)).toMatchObject({
    bytesPerSecond: 0,
    secondsLeft: null,
  });
  expect(judge.judge(retention(10, { leftBytes: 90 * MIB }), 10_000)).toMatchObject({
    bytesPerSecond: MIB,
    secondsLeft: 90,
  });
  // The first looks are forgotten.
  expect(judge.judge(retention(10, { leftBytes: 90 * MIB }), 70_500)).toMatchObject({
    bytesPerSecond: 0,
    secondsLeft: null,
  });
  expect(judge.judge(retention(4, { leftBytes: 96 * MIB }), 80_500).bytesPerSecond).toBeLessThan(0);
});

test("a standby that is waited for is told once it lasts", () => {
  const judge = new WalJudge(LIMITS);
  const waits = retention(1, { awaitedStandbys: "old_standby" });
  expect(judge.judge(waits, 0).awaitedStandbys).toBeNull();
  expect(judge.judge(waits, 5_000).awaitedStandbys).toBe("old_standby");
  expect(judge.judge(retention(1), 6_000).awaitedStandbys).toBeNull();
  expect(judge.judge(waits, 7_000).awaitedStandbys).toBeNull();
  expect(standbyAwaited("s", "old_standby").message).toContain("old_standby");
});

test("it is told what is left, or that nothing bounds it", () => {
  const judge = new WalJudge(LIMITS);
  judge.judge(retention(10, { leftBytes: 90 * MIB }), 0);
  const { message } = walRetained("s", judge.judge(retention(20, { leftBytes: 80 * MIB }), 10_000));
  expect(message).toContain("keep 20.0 MiB of WAL, 1.0 MiB more each second");
  expect(message).toContain("after 80.0 MiB more, in about 80 s");
  expect(walRetained("s", new WalJudge(LIMITS).judge(retention(20), 0)).message).toContain("no bound");
});
