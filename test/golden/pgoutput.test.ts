// Messages that PostgreSQL 18.4 sent (pg_logical_slot_get_binary_changes, proto_version 1, messages on), byte for byte,
// and what they say. https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
import { describe, expect, test } from "vitest";
import { UNCHANGED } from "../../src/event/column-value.ts";
import { decodeMessage } from "../../src/pgoutput/decoder.ts";
import type { PgoutputMessage } from "../../src/pgoutput/messages.ts";
import { lsn } from "../unit/event/tables.ts";
import { encodeMessage } from "../unit/pgoutput/messages.ts";

const TIME = 848_685_600_123_456n; // 2026-11-22 18:00:00.123456 UTC

const SENT: readonly (readonly [string, string, PgoutputMessage])[] = [
  [
    "Begin",
    "42 000000001dfac428 000303e2aef75374 000007f0",
    { kind: "begin", commitLsn: lsn(0x1dfac428), commitTime: 0x303e2aef75374n, xid: 2032 },
  ],
  [
    "Commit",
    "43 00 000000001dfac428 000000001dfac458 000303e2aef75374",
    {
      kind: "commit",
      commitLsn: lsn(0x1dfac428),
      endLsn: lsn(0x1dfac458),
      commitTime: 0x303e2aef75374n,
    },
  ],
  [
    "Type, an enum",
    "59 000043e1 7075626c696300 6d6f6f6400",
    { kind: "type", oid: 17_377, schema: "public", name: "mood" },
  ],
  [
    "Relation with a key of two columns, in the table's order",
    "52 000043e5 612e6200 c39c6ec3af00 64 0004" +
      "01 6200 00000019 ffffffff 01 6100 00000017 ffffffff 00 6d00 000043e1 ffffffff 00 626f647900 00000019 ffffffff",
    {
      kind: "relation",
      oid: 17_381,
      schema: "a.b",
      table: "Ünï",
      identity: "d",
      columns: [
        { name: "b", typeOid: 25, typmod: -1, identity: true },
        { name: "a", typeOid: 23, typmod: -1, identity: true },
        { name: "m", typeOid: 17_377, typmod: -1, identity: false },
        { name: "body", typeOid: 25, typmod: -1, identity: false },
      ],
    },
  ],
  [
    "Relation under FULL: every column is marked",
    "52 000043ee 7075626c696300 6600 66 0003" +
      "01 696400 00000014 ffffffff 01 7600 000002bd ffffffff 01 626f647900 00000019 ffffffff",
    {
      kind: "relation",
      oid: 17_390,
      schema: "public",
      table: "f",
      identity: "f",
      columns: [
        { name: "id", typeOid: 20, typmod: -1, identity: true },
        { name: "v", typeOid: 701, typmod: -1, identity: true },
        { name: "body", typeOid: 25, typmod: -1, identity: true },
      ],
    },
  ],
  [
    "Relation without a key",
    "52 000043f6 7075626c696300 6e00 64 0001 00 7800 00000010 ffffffff",
    {
      kind: "relation",
      oid: 17_398,
      schema: "public",
      table: "n",
      identity: "d",
      columns: [{ name: "x", typeOid: 16, typmod: -1, identity: false }],
    },
  ],
  ["Insert", "49 000043f6 4e 0001 74 00000001 74", { kind: "insert", relation: 17_398, new: ["t"] }],
  [
    "Insert with null, and with the empty string",
    "49 000043f9 4e 0003 74 00000001 32 6e 74 00000000",
    { kind: "insert", relation: 17_401, new: ["2", null, ""] },
  ],
  [
    "Insert with U+FFFD, which is a character like any other",
    "49 0000442d 4e 0002 74 00000001 34 74 00000003 efbfbd",
    { kind: "insert", relation: 17_453, new: ["4", "\ufffd"] },
  ],
  [
    "Update of other columns than the key, with an unchanged TOAST value",
    "55 000043e5 4e 0004 74 00000001 78 74 00000002 2d37 6e 75",
    { kind: "update", relation: 17_381, old: null, new: ["x", "-7", null, UNCHANGED] },
  ],
  [
    "Update of the key",
    "55 000043e5 4b 0004 74 00000001 78 74 00000002 2d37 6e 6e 4e 0004 74 00000001 78 74 00000001 38 6e 75",
    {
      kind: "update",
      relation: 17_381,
      old: { form: "key", values: ["x", "-7", null, null] },
      new: ["x", "8", null, UNCHANGED],
    },
  ],
  [
    "Update under FULL: the value is in the old row only",
    "55 000043ee 4f 0003 74 00000010 39303037313939323534373430393933 74 00000002 2d30 74 00000002 3031" +
      "4e 0003 74 00000010 39303037313939323534373430393933 74 00000005 31652d3037 75",
    {
      kind: "update",
      relation: 17_390,
      old: { form: "whole", values: ["9007199254740993", "-0", "01"] },
      new: ["9007199254740993", "1e-07", UNCHANGED],
    },
  ],
  [
    "Delete",
    "44 000043e5 4b 0004 74 00000001 78 74 00000001 38 6e 6e",
    { kind: "delete", relation: 17_381, old: { form: "key", values: ["x", "8", null, null] } },
  ],
  [
    "Delete under FULL",
    "44 000043ee 4f 0003 74 00000001 39 74 00000005 31652d3037 6e",
    { kind: "delete", relation: 17_390, old: { form: "whole", values: ["9", "1e-07", null] } },
  ],
  [
    "Truncate of two tables, CASCADE RESTART IDENTITY",
    "54 00000002 03 000043f9 000043ee",
    { kind: "truncate", relations: [17_401, 17_390], cascade: true, restartIdentity: true },
  ],
  [
    "Message in a transaction",
    "4d 01 0000000000000001 7072c3a4666978 00 00000006 696e20e29883",
    { kind: "message", transactional: true, prefix: "präfix", content: Buffer.from("in ☃") },
  ],
  [
    "Message of bytes, without prefix",
    "4d 01 0000000000000001 00 00000003 00ff80",
    { kind: "message", transactional: true, prefix: "", content: Buffer.from([0, 0xff, 0x80]) },
  ],
  [
    "Message outside of transactions",
    "4d 00 0000000000000001 6f757400 00000004 73696465",
    { kind: "message", transactional: false, prefix: "out", content: Buffer.from("side") },
  ],
  [
    "Origin",
    "4f 00000016b374d848 757073747265616d00",
    { kind: "origin", commitLsn: lsn(0x16_b374_d848), name: "upstream" },
  ],
  [
    "Begin of a cluster near the limits: LSN above 2^53, xid above 2^31",
    "42 fffffffffffffff0 000303e003b8aa40 fffffda4",
    { kind: "begin", commitLsn: lsn(0xffff_ffff_ffff_fff0n), commitTime: TIME, xid: 4_294_966_692 },
  ],
  [
    "OIDs above 2^31",
    "52 b2d05e00 7000 7400 69 0001 01 6900 b2d05e01 00000008",
    {
      kind: "relation",
      oid: 3_000_000_000,
      schema: "p",
      table: "t",
      identity: "i",
      columns: [{ name: "i", typeOid: 3_000_000_001, typmod: 8, identity: true }],
    },
  ],
  ["Insert there", "49 b2d05e00 4e 0001 6e", { kind: "insert", relation: 3_000_000_000, new: [null] }],
  [
    "Truncate there",
    "54 00000001 00 b2d05e00",
    { kind: "truncate", relations: [3_000_000_000], cascade: false, restartIdentity: false },
  ],
  [
    "Commit time before 2000",
    "42 0000000000000001 ffffffffffffffff 00000003",
    { kind: "begin", commitLsn: lsn(1), commitTime: -1n, xid: 3 },
  ],
];

const bytesOf = (hex: string) => Buffer.from(hex.replaceAll(" ", ""), "hex");

test.each(SENT)("%s", (_, hex, message) => {
  expect(decodeMessage(bytesOf(hex))).toEqual(message);
});

test.each(SENT)("the tests' own writer agrees: %s", (_, hex, message) => {
  expect(encodeMessage(message).toString("hex")).toBe(bytesOf(hex).toString("hex"));
});

describe("the parts of the protocol that the server above did not send", () => {
  test("an empty namespace stands for pg_catalog", () => {
    expect(decodeMessage(bytesOf("52 00000001 00 7800 6e 0000"))).toMatchObject({ schema: "pg_catalog", columns: [] });
  });

  test.each([
    ["CASCADE", 1, { cascade: true, restartIdentity: false }],
    ["RESTART IDENTITY", 2, { cascade: false, restartIdentity: true }],
  ])("TRUNCATE %s", (_, options, flags) => {
    expect(decodeMessage(Buffer.from([0x54, 0, 0, 0, 0, options]))).toMatchObject({ ...flags, relations: [] });
  });
});
