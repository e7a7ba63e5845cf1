// Which transactions a snapshot sees: by commit LSN, and below that by an xid whose upper half an event doesn't have.
import { expect, test } from "vitest";
import { formatLsn, toLsn } from "../../../src/event/lsn.ts";
import { Visibility } from "../../../src/source/visibility.ts";

const L = 0x40_0000_0000n;
const WRAP = 1n << 32n;
const transaction = (xid: bigint, lsn: bigint) => ({ id: String(xid % WRAP), lsn: formatLsn(toLsn(lsn)) });

/** Far above 2^32, xmax just past a wrap of the lower half; three transactions are in progress. */
const XMAX = 7n * WRAP + 5n;
const seen = new Visibility(`${XMAX - 100n}:${XMAX}:${XMAX - 100n},${XMAX - 9n},${XMAX - 1n}`, toLsn(L));

test.each([
  ["committed long ago", XMAX - 1000n, L - 1_000n, true],
  ["committed between those in progress", XMAX - 50n, L - 10n, true],
  ["its commit is written, but nobody sees it yet", XMAX - 9n, L - 10n, false],
  ["the last one, the same", XMAX - 1n, L - 10n, false],
  ["begun after the snapshot, committed before the position was read", XMAX, L - 10n, false],
  ["below the wrap of the lower half", XMAX - 6n, L - 10n, true],
  ["at the position", XMAX - 50n, L, false],
  ["after it, 2^31 xids later", XMAX + (1n << 31n) + 5n, L + (1n << 36n), false],
  ["an alias of one in progress, 2^32 xids and much WAL ago", XMAX - 9n - WRAP, L - (8n << 30n), true],
  ["an alias of what is above xmax, long ago", XMAX + 3n - WRAP, L - (9n << 30n), true],
])("%s", (_, xid, lsn, expected) => {
  expect(seen.sees(transaction(xid, lsn))).toBe(expected);
  expect(seen.sees(transaction(xid, lsn))).toBe(expected);
});

test("nothing in progress, and an event that the daemon made itself", () => {
  const quiet = new Visibility("742:742:", toLsn(1000n));
  expect(quiet.sees({ id: "741", lsn: "0/10" })).toBe(true);
  expect(quiet.sees({ id: "742", lsn: "0/10" })).toBe(false);
  expect(quiet.sees({ id: null, lsn: "0/10" })).toBe(true);
});
