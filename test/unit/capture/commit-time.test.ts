// Commit times keep their microseconds.
import { expect, test } from "vitest";
import { formatCommitTime } from "../../../src/capture/commit-time.ts";

test.each([
  [0n, "2000-01-01T00:00:00.000000Z"],
  [1n, "2000-01-01T00:00:00.000001Z"],
  [-1n, "1999-12-31T23:59:59.999999Z"],
  [-1_000n, "1999-12-31T23:59:59.999000Z"],
  [-1_001n, "1999-12-31T23:59:59.998999Z"],
  [848_685_600_123_456n, "2026-11-22T18:00:00.123456Z"],
  [848_685_600_999_999n, "2026-11-22T18:00:00.999999Z"],
  [252_455_615_999_999_999n, "9999-12-31T23:59:59.999999Z"],
])("%d is %s", (microseconds, text) => {
  expect(formatCommitTime(microseconds)).toBe(text);
});
