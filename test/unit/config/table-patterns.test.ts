// Which tables a list of patterns means.
import { describe, expect, test } from "vitest";
import { matchesTable, parseTablePattern } from "../../../src/config/table-patterns.ts";

describe("matchesTable", () => {
  test.each([
    [["public.*"], "public", "orders", true],
    [["public.*"], "audit", "orders", false],
    [["public.orders"], "public", "orders", true],
    [["public.orders"], "public", "orders2", false],
    [["public.orders_*"], "public", "orders_2026", true],
    [["public.*_log"], "public", "login_log", true],
    [["public.*_log"], "public", "logs", false],
    [["*.orders"], "shop", "orders", true],
    [["*.*"], 'odd".name', "any.thing", true],
    [['"a.b".*'], "a.b", "t", true],
    [['"a.b".*'], "axb", "t", false],
    [['"a.b"."Ünïcode ""quoted"""'], "a.b", 'Ünïcode "quoted"', true],
    [['public."*"'], "public", "orders", false],
    [['public."*"'], "public", "*", true],
    [["public.Orders"], "public", "Orders", true],
    [["public.Orders"], "public", "orders", false],
    [["public.a(b)+"], "public", "a(b)+", true],
    [["public.*"], "public", "two\nlines", true],
    [["public.*", "!public.audit"], "public", "audit", false],
    [["!public.audit", "public.*"], "public", "audit", false],
    [["!public.audit", "public.*"], "public", "orders", true],
    [["public.*", '!"public"."audit"'], "public", "audit", false],
    [[], "public", "orders", false],
  ])("%j on %s.%s: %s", (patterns, schema, table, expected) => {
    expect(matchesTable(patterns as string[], schema as string, table as string)).toBe(expected);
  });
});

test.each(["orders", "a.b.c", "", ".", "public.", '"a.b', "!", "a!b.c"])("%j is no pattern", (text) => {
  expect(parseTablePattern(text)).toBeUndefined();
});
