// Partitions must agree with Kafka's Java clients: the vectors are those of its UtilsTest.testMurmur2.
import { expect, test } from "vitest";
import { murmur2, partitionOf } from "../../../src/kafka/murmur2.ts";

test.each([
  ["21", -973932308],
  ["foobar", -790332482],
  ["a-little-bit-long-string", -985981536],
  ["a-little-bit-longer-string", -1486304829],
  ["lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971],
  ["abc", 479470107],
])("murmur2 of %s", (text, hash) => {
  expect(murmur2(Buffer.from(text))).toBe(hash);
  expect(partitionOf(text, 7)).toBe((hash & 0x7fff_ffff) % 7);
  expect(partitionOf(Buffer.from(text), 7)).toBe((hash & 0x7fff_ffff) % 7);
});

test("a key's text is hashed as UTF-8, whatever its length", () => {
  for (const key of ["", "ä", "€uro", "😀", "x".repeat(1024), "ü".repeat(1024), "😀".repeat(2000)]) {
    expect(partitionOf(key, 1_000_003)).toBe(partitionOf(Buffer.from(key), 1_000_003));
  }
});
