// Messages of open transactions that PostgreSQL 18.4 sent (pg_logical_slot_get_binary_changes, proto_version 2, streaming
// and messages on, logical_decoding_work_mem 64 kB), byte for byte, and what they say.
import { describe, expect, test } from "vitest";
import { decodeMessage } from "../../src/pgoutput/decoder.ts";
import type { PgoutputMessage } from "../../src/pgoutput/messages.ts";
import {
  beginBytes,
  commitBytes,
  decodeStreamControl,
  type StreamCommit,
  type StreamControl,
  splitStreamed,
} from "../../src/pgoutput/streamed.ts";
import { lsn } from "../unit/event/tables.ts";
import { encodeControl, encodeStreamed } from "../unit/pgoutput/streamed-messages.ts";

const bytesOf = (hex: string) => Buffer.from(hex.replaceAll(" ", ""), "hex");

const COMMIT: StreamCommit = {
  kind: "stream-commit",
  xid: 754,
  commitLsn: lsn(0x17ef018),
  endLsn: lsn(0x17ef0f0),
  commitTime: 0x30401179b3b76n,
};

const CONTROLS: readonly (readonly [string, string, StreamControl])[] = [
  ["Stream Start, the first", "53 000002f2 01", { kind: "stream-start", xid: 754, first: true }],
  ["Stream Start, a later one", "53 000002f2 00", { kind: "stream-start", xid: 754, first: false }],
  ["Stream Stop", "45", { kind: "stream-stop" }],
  ["Stream Abort of a subtransaction", "41 000002f2 000002f3", { kind: "stream-abort", xid: 754, subxid: 755 }],
  ["Stream Commit", "63 000002f2 00 00000000017ef018 00000000017ef0f0 00030401179b3b76", COMMIT],
];

test.each(CONTROLS)("%s", (_, hex, control) => {
  expect(decodeStreamControl(bytesOf(hex))).toEqual(control);
  expect(encodeControl(control).toString("hex")).toBe(hex.replaceAll(" ", ""));
});

const STREAMED: readonly (readonly [string, string, number, PgoutputMessage])[] = [
  [
    "Type",
    "59 000002f2 00004001 7075626c696300 6d6f6f6400",
    754,
    { kind: "type", oid: 16_385, schema: "public", name: "mood" },
  ],
  [
    "Relation, under a subtransaction",
    "52 000002f4 00004003 7075626c696300 7300 64 0002 01 696400 00000017 ffffffff 00 6d00 00004001 ffffffff",
    756,
    {
      kind: "relation",
      oid: 16_387,
      schema: "public",
      table: "s",
      identity: "d",
      columns: [
        { name: "id", typeOid: 23, typmod: -1, identity: true },
        { name: "m", typeOid: 16_385, typmod: -1, identity: false },
      ],
    },
  ],
  [
    "Insert",
    "49 000002f2 00004003 4e 0002 74 00000001 31 74 00000003 736164",
    754,
    { kind: "insert", relation: 16_387, new: ["1", "sad"] },
  ],
  [
    "Update of the key",
    "55 000002f4 00004003 4b 0002 74 00000004 35303030 6e 4e 0002 74 00000004 35303031 74 00000003 736164",
    756,
    { kind: "update", relation: 16_387, old: { form: "key", values: ["5000", null] }, new: ["5001", "sad"] },
  ],
  [
    "Delete",
    "44 000002f4 00004003 4b 0002 74 00000004 35303031 6e",
    756,
    { kind: "delete", relation: 16_387, old: { form: "key", values: ["5001", null] } },
  ],
  [
    "Truncate",
    "54 000002f2 00000001 00 00004003",
    754,
    { kind: "truncate", relations: [16_387], cascade: false, restartIdentity: false },
  ],
  [
    "Message in the transaction",
    "4d 000002f2 01 0000000000000001 7000 00000001 78",
    754,
    { kind: "message", transactional: true, prefix: "p", content: Buffer.from("x") },
  ],
];

test.each(STREAMED)("%s", (_, hex, xid, message) => {
  const split = splitStreamed(bytesOf(hex));
  expect(split.xid).toBe(xid);
  expect(decodeMessage(Buffer.concat([Buffer.from([split.type]), split.body]))).toEqual(message);
  expect(encodeStreamed(xid, message).toString("hex")).toBe(hex.replaceAll(" ", ""));
});

test("an Origin has no xid", () => {
  const message: PgoutputMessage = { kind: "origin", commitLsn: lsn(1), name: "up" };
  const split = splitStreamed(encodeStreamed(7, message));
  expect(split.xid).toBeNull();
  expect(decodeMessage(Buffer.concat([Buffer.from([split.type]), split.body]))).toEqual(message);
});

test("a message of an open transaction is none of the plain ones", () => {
  expect(decodeStreamControl(bytesOf("4d 00 0000000000000001 7000 00000001 78"))).toBeNull();
});

test("what a transaction begins and ends with, near the limits", () => {
  const commit: StreamCommit = {
    kind: "stream-commit",
    xid: 4_294_966_692,
    commitLsn: lsn(0xffff_ffff_ffff_fff0n),
    endLsn: lsn(0xffff_ffff_ffff_fff8n),
    commitTime: -1n,
  };
  const { commitLsn, endLsn, commitTime, xid } = commit;
  expect(decodeStreamControl(encodeControl(commit))).toEqual(commit);
  expect(decodeMessage(beginBytes(commit))).toEqual({ kind: "begin", commitLsn, commitTime, xid });
  expect(decodeMessage(commitBytes(commit))).toEqual({ kind: "commit", commitLsn, endLsn, commitTime });
});

describe("refused as malformed", () => {
  test.each([
    ...CONTROLS.map(([name, hex]) => [`${name}, with a byte behind it`, `${hex} 00`] as const),
    ...CONTROLS.filter(([, hex]) => hex.length > 2).map(
      ([name, hex]) => [`${name}, cut short`, hex.slice(0, -2)] as const,
    ),
  ])("%s", (_, hex) => {
    expect(() => decodeStreamControl(bytesOf(hex))).toThrow(expect.objectContaining({ code: "PGOUTPUT_MALFORMED" }));
  });

  test.each([
    ["a row cut off inside its xid", "49 000002"],
    ["a row of no transaction", "49 00000000 00004003"],
  ])("%s", (_, hex) => {
    expect(() => splitStreamed(bytesOf(hex))).toThrow(expect.objectContaining({ code: "PGOUTPUT_MALFORMED" }));
  });
});
