// The short form of `npm run torture -- --snapshot`.
import { expect, inject, test } from "vitest";
import { seeded } from "./random.ts";
import { holdsSnapshots, killSnapshots, snapshotLine } from "./snapshot-kills.ts";

test("killed three times while a table is read under writes: equal at the end, and at most one chunk read again", async () => {
  const report = await killSnapshots({
    postgresUrl: inject("postgresUrl"),
    brokers: inject("brokers"),
    rows: 40_000,
    writesPerSecond: 1_000,
    kills: 3,
    longestMs: 400,
    batchBytes: 128 * 1024,
    random: seeded(process.env.AFTERIMAGE_TORTURE_SEED || "afterimage"),
    log: () => undefined,
  });
  expect(holdsSnapshots(report), snapshotLine(report)).toBe(true);
  expect(report.connections, snapshotLine(report)).toBeGreaterThan(1);
}, 300_000);
