// Whatever bytes come, the decoder answers with a message or with one of its two errors; and what Postgres can send it
// reads back equal.
import fc from "fast-check";
import { expect, test } from "vitest";
import { AfterimageError } from "../../src/errors.ts";
import { UNCHANGED } from "../../src/event/column-value.ts";
import { toLsn } from "../../src/event/lsn.ts";
import { decodeMessage } from "../../src/pgoutput/decoder.ts";
import type { PgoutputMessage } from "../../src/pgoutput/messages.ts";
import { encodeMessage } from "../unit/pgoutput/messages.ts";

const REFUSALS = new Set(["PGOUTPUT_MALFORMED", "TEXT_UNDECODABLE"]);

/** Whether it decodes; throws what is no refusal by name. */
function decodes(bytes: Buffer): boolean {
  try {
    decodeMessage(bytes);
    return true;
  } catch (error) {
    if (error instanceof AfterimageError && REFUSALS.has(error.code)) {
      return false;
    }
    throw error;
  }
}

const oid = fc.nat({ max: 0xffff_ffff });
const lsn = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }).map(toLsn);
const time = fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n });
const value = fc.string({ unit: "grapheme", maxLength: 30 });
// Names end at the first zero byte.
const name = value.map((text) => text.replaceAll("\0", ""));
const tuple = fc.array(fc.oneof(value, fc.constant(null), fc.constant(UNCHANGED)), { maxLength: 12 });
const old = fc.record({ form: fc.constantFrom("key" as const, "whole" as const), values: tuple });

const message: fc.Arbitrary<PgoutputMessage> = fc.oneof(
  fc.record({ kind: fc.constant("begin" as const), commitLsn: lsn, commitTime: time, xid: oid }),
  fc.record({ kind: fc.constant("commit" as const), commitLsn: lsn, endLsn: lsn, commitTime: time }),
  fc.record({ kind: fc.constant("origin" as const), commitLsn: lsn, name }),
  fc.record({
    kind: fc.constant("relation" as const),
    oid,
    schema: name.filter((text) => text !== ""),
    table: name,
    identity: fc.constantFrom("d" as const, "f" as const, "i" as const, "n" as const),
    columns: fc.array(
      fc.record({
        name,
        typeOid: oid,
        typmod: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
        identity: fc.boolean(),
      }),
      { maxLength: 6 },
    ),
  }),
  fc.record({ kind: fc.constant("type" as const), oid, schema: name, name }),
  fc.record({ kind: fc.constant("insert" as const), relation: oid, new: tuple }),
  fc.record({ kind: fc.constant("update" as const), relation: oid, old: fc.option(old), new: tuple }),
  fc.record({ kind: fc.constant("delete" as const), relation: oid, old }),
  fc.record({
    kind: fc.constant("truncate" as const),
    relations: fc.array(oid, { maxLength: 5 }),
    cascade: fc.boolean(),
    restartIdentity: fc.boolean(),
  }),
  fc.record({
    kind: fc.constant("message" as const),
    transactional: fc.boolean(),
    prefix: name,
    content: fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
  }),
);

test("every message is read back equal", () => {
  fc.assert(
    fc.property(message, (sent) => {
      expect(decodeMessage(encodeMessage(sent))).toEqual(sent);
    }),
    { numRuns: 500 },
  );
});

test("random bytes are refused by name or decoded, never anything else", () => {
  const kinds = fc.constantFrom(..."BCORYIUDTM");
  fc.assert(
    fc.property(kinds, fc.uint8Array({ maxLength: 80 }), (kind, bytes) => {
      decodes(Buffer.concat([Buffer.from(kind, "latin1"), bytes]));
    }),
    { numRuns: 1_500 },
  );
});

test("a message cut short anywhere is refused", () => {
  fc.assert(
    fc.property(message, fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (sent, where) => {
      const whole = encodeMessage(sent);
      expect(decodes(whole.subarray(0, Math.floor(whole.length * where)))).toBe(false);
    }),
    { numRuns: 500 },
  );
});

test("a message with something behind it is refused", () => {
  fc.assert(
    fc.property(message, fc.uint8Array({ minLength: 1, maxLength: 8 }), (sent, more) => {
      expect(decodes(Buffer.concat([encodeMessage(sent), more]))).toBe(false);
    }),
    { numRuns: 300 },
  );
});

test("a message with bytes changed is refused by name or decoded", () => {
  fc.assert(
    fc.property(
      message,
      fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { minLength: 1, maxLength: 4 }),
      (sent, edits) => {
        const bytes = encodeMessage(sent);
        for (const [where, byte] of edits) {
          bytes[where % bytes.length] = byte;
        }
        decodes(bytes);
      },
    ),
    { numRuns: 1_500 },
  );
});
