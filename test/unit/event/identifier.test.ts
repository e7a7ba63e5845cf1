// Names of tables and the topics they are published to.
import { describe, expect, test } from "vitest";
import {
  formatTableName,
  parseTableName,
  progressTopic,
  quoteIdentifier,
  schemasTopic,
  tableTopic,
} from "../../../src/event/identifier.ts";

describe("table names", () => {
  test.each([
    ["public", "orders", "public.orders"],
    ["_x", "a1_$", "_x.a1_$"],
    ["public", "Orders", 'public."Orders"'],
    ["public", "1st", 'public."1st"'],
    ["a.b", 'Ünïcode "quoted"', '"a.b"."Ünïcode ""quoted"""'],
    ["public", '"', 'public.""""'],
    ["public", "two\nlines", 'public."two\nlines"'],
    ["public", "x\n", 'public."x\n"'],
    ["public", "$x", 'public."$x"'],
  ])("%s, %s", (schema, table, text) => {
    expect(formatTableName(schema, table)).toBe(text);
    expect(parseTableName(text)).toEqual({ schema, table });
  });

  test.each(["orders", "public.", ".orders", "a.b.c", "public.Orders", 'public."a"b"', 'public.""', "public.orders "])(
    "%s is refused",
    (text) => {
      expect(() => parseTableName(text)).toThrow(RangeError);
    },
  );

  test("in SQL every identifier is quoted", () => {
    expect(quoteIdentifier("select")).toBe('"select"');
    expect(quoteIdentifier('a"; DROP TABLE b; --')).toBe('"a""; DROP TABLE b; --"');
  });
});

describe("topics", () => {
  test.each([
    ["public", "orders", "shop.public.orders"],
    ["a.b", "c", "shop.a-2Eb.c"],
    ["public", "a-b", "shop.public.a-2Db"],
    ["public", "Ünï", "shop.public.-C3-9Cn-C3-AF"],
    ["public", "a b\t", "shop.public.a-20b-09"],
    ["public", "😀", "shop.public.-F0-9F-98-80"],
  ])("%s, %s", (schema, table, topic) => {
    expect(tableTopic("shop", schema, table)).toBe(topic);
  });

  test("the stream's own topics have a name no table's can have", () => {
    expect(progressTopic("shop")).toBe("shop.progress");
    expect(schemasTopic("shop")).toBe("shop.schemas");
    expect(tableTopic("shop", "progress", "").split(".")).toHaveLength(3);
  });
});
