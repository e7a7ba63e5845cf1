// URLs are shown without their password.
import { expect, test } from "vitest";
import { parsePostgresUrl, redactUrl } from "../../../src/config/redact.ts";

test.each([
  ["postgres://me:secret@host:5432/db", "postgres://me:***@host:5432/db"],
  ["postgres://me@host/db", "postgres://me@host/db"],
  ["postgres://me:secret@/db?host=/tmp", "postgres://me:***@/db?host=/tmp"],
  ["postgres://host/db?user=me&password=secret", "postgres://host/db?user=me"],
  ["postgresql:///db", "postgresql:///db"],
  ["postgres://me:se cret@host:99999999/db", "postgres:(hidden)"],
  ["secret", "(hidden)"],
])("%s", (url, expected) => {
  expect(redactUrl(url)).toBe(expected);
});

test("other schemes are no Postgres URL", () => {
  expect(parsePostgresUrl("http://host/db")).toBeUndefined();
  expect(parsePostgresUrl("host=localhost dbname=x")).toBeUndefined();
});
