// Names of tables: no two tables share a topic, and what is written is read back.
import fc from "fast-check";
import { expect, test } from "vitest";
import { formatTableName, parseTableName, tableTopic } from "../../src/event/identifier.ts";
import { formatLsn, parseLsn, toLsn } from "../../src/event/lsn.ts";

/** What Postgres takes for an identifier, with a taste for characters that topics and quoting could confuse. */
const name = fc
  .oneof(
    fc.string({ unit: fc.constantFrom(...'aZ_-.20DE"$ é'), minLength: 1, maxLength: 6 }),
    fc.string({ unit: "grapheme", minLength: 1, maxLength: 12 }),
  )
  .map((text) => text.replaceAll("\0", "x"));

test("schema and table come back from their text", () => {
  fc.assert(
    fc.property(name, name, (schema, table) => {
      expect(parseTableName(formatTableName(schema, table))).toEqual({ schema, table });
    }),
    { numRuns: 1_000 },
  );
});

test("two tables never share a topic, and a topic's name is one Kafka takes", () => {
  fc.assert(
    fc.property(name, name, name, name, (schemaA, tableA, schemaB, tableB) => {
      const same = schemaA === schemaB && tableA === tableB;
      expect(tableTopic("s", schemaA, tableA) === tableTopic("s", schemaB, tableB)).toBe(same);
      expect(tableTopic("s", schemaA, tableA)).toMatch(/^[A-Za-z0-9._-]+$/);
      // What a dot separates can't be moved across it.
      const joined = `${schemaA}.${tableA}`;
      expect(tableTopic("s", joined, tableB)).not.toBe(tableTopic("s", schemaA, `${tableA}.${tableB}`));
    }),
    { numRuns: 1_000 },
  );
});

test("any LSN comes back from its text, and its text is Postgres's", () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }), (value) => {
      const text = formatLsn(toLsn(value));
      expect(text).toMatch(/^(0|[1-9A-F][0-9A-F]{0,7})\/(0|[1-9A-F][0-9A-F]{0,7})$/);
      expect(parseLsn(text)).toBe(value);
      expect(parseLsn(text.toLowerCase())).toBe(value);
    }),
    { numRuns: 500 },
  );
});
