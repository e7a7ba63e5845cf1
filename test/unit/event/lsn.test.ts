// LSNs are unsigned 64-bit numbers: neither text order nor a JavaScript number tells which is later.
import { describe, expect, test } from "vitest";
import { formatLsn, parseLsn, toLsn, ZERO_LSN } from "../../../src/event/lsn.ts";
import { comparePositions } from "../../../src/event/position.ts";
import { lsn } from "./tables.ts";

test.each([
  ["0/0", 0n],
  ["0/1", 1n],
  ["16/B374D848", 0x16_b374_d848n],
  ["1/0", 0x1_0000_0000n],
  ["100000/3", 0x10_0000_0000_0003n],
  ["FFFFFFFF/FFFFFFFF", 0xffff_ffff_ffff_ffffn],
])("%s is %d, both ways", (text, value) => {
  expect(parseLsn(text)).toBe(value);
  expect(formatLsn(toLsn(value))).toBe(text);
});

test("Postgres pads and lower-cases where we do not: both are read", () => {
  expect(parseLsn("0/016b3748")).toBe(0x16b_3748n);
  expect(parseLsn("00000016/B374D848")).toBe(parseLsn("16/b374d848"));
});

test("0/9000000 stands before 0/10000000, though not as text", () => {
  expect(parseLsn("0/9000000") < parseLsn("0/10000000")).toBe(true);
  expect("0/9000000" < "0/10000000").toBe(false);
});

test("neighbours above 2^53 stay apart", () => {
  const [one, next] = [parseLsn("10000200/1"), parseLsn("10000200/2")];
  expect(one < next).toBe(true);
  expect(Number(one)).toBe(Number(next));
  expect(formatLsn(next)).toBe("10000200/2");
});

test.each([
  "",
  "0",
  "/",
  "0/",
  "/0",
  "0/0/0",
  "0/123456789",
  "123456789/0",
  "0/G",
  "0x1/0",
  " 0/0",
  "0/0 ",
  "0/0\n",
  "-1/0",
])("%j is no LSN", (text) => {
  expect(() => parseLsn(text)).toThrow(RangeError);
});

test("what has more than 64 bits, or a sign, is no LSN", () => {
  expect(() => toLsn(-1n)).toThrow(RangeError);
  expect(() => toLsn(1n << 64n)).toThrow(RangeError);
  expect(toLsn(0n)).toBe(ZERO_LSN);
});

describe("positions", () => {
  const at = (commitLsn: number | bigint, index: number, epoch = 1) => ({ epoch, commitLsn: lsn(commitLsn), index });

  test("are ordered by commit LSN, then by index", () => {
    const sorted = [at(9, 2), at(9, 10), at(10, 1), at(1n << 60n, 1), at((1n << 60n) + 1n, 0)];
    const shuffled = [3, 0, 4, 2, 1].map((place) => sorted[place]!);
    expect(shuffled.sort(comparePositions)).toEqual(sorted);
    expect(comparePositions(at(9, 2), at(9, 2))).toBe(0);
    expect(comparePositions(at(9, 2), at(9, 10))).toBeLessThan(0);
    expect(comparePositions(at(9, 10), at(9, 2))).toBeGreaterThan(0);
  });

  test("of different epochs can't be compared", () => {
    expect(() => comparePositions(at(1, 1, 1), at(1, 1, 2))).toThrow(RangeError);
  });
});
