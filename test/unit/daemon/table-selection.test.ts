// Which tables are captured: by their own name, or as a part of one that is.
import { expect, test } from "vitest";
import { isSelected } from "../../../src/daemon/table-resolver.ts";

const table = (name: string, ...ancestors: string[]) => ({
  schema: "public",
  table: name,
  ancestors: ancestors.map((ancestor) => ({ schema: "public", table: ancestor })),
});

test.each([
  [["public.*"], table("a"), true],
  [["public.a"], table("a"), true],
  [["public.b"], table("a"), false],
  [["public.*", "!public.a"], table("a"), false],
  [["!public.a"], table("b"), false],
  [["public.orders"], table("orders_2026", "orders"), true],
  [["public.orders"], table("orders_2026_01", "orders_2026", "orders"), true],
  [["public.orders", "!public.orders_2026"], table("orders_2026", "orders"), false],
  [["public.orders", "!public.orders"], table("orders_2026", "orders"), false],
  [["public.*", "!public.orders"], table("orders_2026", "orders"), true],
  [["other.*"], table("orders_2026", "orders"), false],
])("%j takes %j: %s", (patterns, described, selected) => {
  expect(isSelected(patterns, described)).toBe(selected);
});
