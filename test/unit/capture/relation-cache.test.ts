// A relation is resolved when a row needs it, and anew whenever it was announced anew.
import { expect, test } from "vitest";
import { RelationCache } from "../../../src/capture/relation-cache.ts";
import type { Relation } from "../../../src/pgoutput/messages.ts";
import { rowEncoder } from "../event/tables.ts";

const announced: Relation = { kind: "relation", oid: 7, schema: "public", table: "t", identity: "d", columns: [] };
const resolution = { encoder: rowEncoder([["id", "int4"]]), topic: null };
const malformed = expect.objectContaining({ code: "PGOUTPUT_MALFORMED" });

test("what was not announced is refused", () => {
  const cache = new RelationCache();
  expect(() => cache.unresolved(7)).toThrow(malformed);
  expect(() => cache.get(7)).toThrow(malformed);
});

test("announced, resolved, and announced again: the old resolution is no longer used", () => {
  const cache = new RelationCache();
  cache.announce(announced);
  expect(cache.unresolved(7)).toBe(announced);
  expect(() => cache.get(7)).toThrow(malformed);
  cache.resolve(7, resolution);
  expect(cache.unresolved(7)).toBeNull();
  expect(cache.get(7)).toBe(resolution);
  const wider = { ...announced };
  cache.announce(wider);
  expect(cache.unresolved(7)).toBe(wider);
  expect(() => cache.get(7)).toThrow(malformed);
});
