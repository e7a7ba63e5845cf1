// Lag while nothing was received yet: since when the server is known to hold more than is published.
import { expect, test } from "vitest";
import { UnreachedLooks } from "../../../src/daemon/unreached-looks.ts";
import { lsn } from "../event/tables.ts";

test("counts from the first look that is not reached", () => {
  const looks = new UnreachedLooks();
  expect(looks.oldest(lsn(0))).toBeNull();
  looks.add(lsn(100), 1);
  looks.add(lsn(200), 2);
  looks.add(lsn(200), 3);
  expect(looks.oldest(lsn(50))).toBe(1);
  expect(looks.oldest(lsn(100))).toBe(2);
  expect(looks.oldest(lsn(200))).toBeNull();
});

test("the oldest is kept however many follow", () => {
  const looks = new UnreachedLooks();
  for (let at = 1; at <= 10_000; at++) looks.add(lsn(1000 + at), at);
  expect(looks.oldest(lsn(0))).toBe(1);
  expect(looks.oldest(lsn(10_999))).toBe(10_000);
  expect(looks.oldest(lsn(11_000))).toBeNull();
});

test("the header of an empty page is nothing to wait for", () => {
  const looks = new UnreachedLooks();
  looks.add(lsn(0x1000028), 1);
  looks.add(lsn(0x1002018), 2);
  expect(looks.oldest(lsn(0x1002000))).toBeNull();
});

test("a session's looks end with it", () => {
  const looks = new UnreachedLooks();
  looks.add(lsn(100), 1);
  looks.forget();
  expect(looks.oldest(lsn(0))).toBeNull();
});
