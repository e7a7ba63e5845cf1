// What the decoder refuses, what it leaves as it is, and that nothing of the driver's buffer outlives a message.
import { describe, expect, test } from "vitest";
import { isUndecodable } from "../../../src/event/column-value.ts";
import { toLsn } from "../../../src/event/lsn.ts";
import { ByteReader } from "../../../src/pgoutput/byte-reader.ts";
import { decodeMessage } from "../../../src/pgoutput/decoder.ts";
import type { Insert, PgoutputMessage } from "../../../src/pgoutput/messages.ts";
import { encodeMessage } from "./messages.ts";

const hex = (text: string) => Buffer.from(text.replaceAll(" ", ""), "hex");
const malformed = expect.objectContaining({ code: "PGOUTPUT_MALFORMED" });
const undecodable = expect.objectContaining({ code: "TEXT_UNDECODABLE" });

describe("malformed", () => {
  test.each([
    ["nothing at all", ""],
    ["an unknown kind", "5a 00"],
    ["a stream message of protocol version 2, which is never asked for", "53 00000001 01"],
    ["a Begin without its xid", "42 0000000000000001 0000000000000001"],
    ["a Begin with a byte too many", "42 0000000000000001 0000000000000001 00000001 00"],
    ["an Insert that announces an old row", "49 00000001 4f 0000"],
    ["an Update without its new row", "55 00000001 4b 0000"],
    ["an Update with two old rows", "55 00000001 4b 0000 4f 0000 4e 0000"],
    ["a Delete with a new row", "44 00000001 4e 0000"],
    ["a column of an unknown kind", "49 00000001 4e 0001 78"],
    ["a binary column", "49 00000001 4e 0001 62 00000001 00"],
    ["65,535 columns of which none is there", "49 00000001 4e ffff"],
    ["65,535 relation columns of which none is there", "52 00000001 7000 7400 64 ffff"],
    ["a value of 4 GiB", "49 00000001 4e 0001 74 ffffffff"],
    ["a value of 2 GiB", "49 00000001 4e 0001 74 80000000 61"],
    ["a value one byte longer than the message", "49 00000001 4e 0001 74 00000002 61"],
    ["4,294,967,295 truncated relations", "54 ffffffff 00"],
    ["a truncate of more relations than follow", "54 00000002 00 00000001"],
    ["a truncate of fewer", "54 00000001 00 00000001 00000002"],
    ["a message of negative length", "4d 01 0000000000000001 00 ffffffff"],
    ["a name without end", "59 00000001 7000 6d6f6f64"],
    ["an unknown replica identity", "52 00000001 7000 7400 78 0000"],
  ])("%s", (_, text) => {
    expect(() => decodeMessage(hex(text))).toThrow(malformed);
  });

  test("a message that announces much allocates little", () => {
    const messages = ["49 00000001 4e ffff", "52 00000001 7000 7400 64 ffff", "54 ffffffff 00", "54 40000000 00"].map(
      hex,
    );
    const before = process.memoryUsage().rss;
    for (let round = 0; round < 200; round++) {
      for (const message of messages) {
        expect(() => decodeMessage(message)).toThrow(malformed);
      }
    }
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * 1024 ** 2);
  });
});

describe("text", () => {
  const insert = (bytes: string) => hex(`49 00000001 4e 0001 74 0000000${bytes.length / 2} ${bytes}`);
  const firstValue = (message: PgoutputMessage) => (message.kind === "insert" ? message.new[0] : undefined);

  test.each([
    ["a lone continuation byte", "80"],
    ["a cut sequence", "c3"],
    ["an overlong zero", "c080"],
    ["a surrogate", "eda080"],
    ["above U+10FFFF", "f4908080"],
    ["Latin-1", "e974e9"],
    ["U+FFFD beside an invalid byte", "efbfbd80"],
  ])("%s is marked with why it can't be published, never replaced", (_, bytes) => {
    const message = decodeMessage(insert(bytes));
    expect(message).toMatchObject({ undecodable });
    expect(isUndecodable(firstValue(message)!)).toBe(true);
  });

  test("other values of the row stand as they are, and equal bytes give equal values", () => {
    const row = (bytes: string) => decodeMessage(hex(`49 00000001 4e 0002 74 00000001 61 74 00000001 ${bytes}`));
    const [one, same, other] = ["e9", "e9", "e8"].map((bytes) => row(bytes) as Insert);
    expect(one!.new[0]).toBe("a");
    expect(one!.new[1]).toBe(same!.new[1]);
    expect(one!.new[1]).not.toBe(other!.new[1]);
    expect(row("62")).not.toHaveProperty("undecodable");
  });

  test.each([
    ["U+FFFD itself", "efbfbd", "\ufffd"],
    ["a byte order mark", "efbbbf61", "\ufeffa"],
    ["four-byte characters", "f09f9880", "\u{1f600}"],
    ["a zero byte, which ends no value", "610062", "a\0b"],
  ])("%s is kept", (_, bytes, text) => {
    expect(firstValue(decodeMessage(insert(bytes)))).toBe(text);
  });

  test("a name that is not UTF-8 is refused too", () => {
    expect(() => decodeMessage(hex("59 00000001 ff00 6100"))).toThrow(undecodable);
  });
});

test("numbers are unsigned where Postgres's are", () => {
  const reader = new ByteReader(hex("ff ffff ffffffff ffffffff ffffffffffffffff ffffffffffffffff"));
  expect([reader.uint8(), reader.uint16(), reader.uint32(), reader.int32(), reader.uint64(), reader.int64()]).toEqual([
    0xff,
    0xffff,
    0xffff_ffff,
    -1,
    0xffff_ffff_ffff_ffffn,
    -1n,
  ]);
  expect(() => reader.end()).not.toThrow();
  expect(() => reader.uint8()).toThrow(malformed);
});

test("the LSN of a message is not looked at: it is the record's end, never a position", () => {
  expect(decodeMessage(hex("4d 01 ffffffffffffffff 00 00000000"))).toEqual({
    kind: "message",
    transactional: true,
    prefix: "",
    content: Buffer.alloc(0),
  });
});

test("nothing of a decoded message changes when the driver reuses its buffer", () => {
  const columns = [{ name: "näme", typeOid: 25, typmod: -1, identity: true }];
  const messages: PgoutputMessage[] = [
    { kind: "insert", relation: 7, new: ["short", null, "ünïcode", "long ".repeat(100_000)] },
    { kind: "update", relation: 7, old: { form: "whole", values: ["old"] }, new: ["new"] },
    { kind: "delete", relation: 7, old: { form: "key", values: ["x".repeat(30)] } },
    { kind: "relation", oid: 7, schema: "public", table: "täble", identity: "d", columns },
    { kind: "type", oid: 7, schema: "public", name: "mood" },
    { kind: "origin", commitLsn: toLsn(7n), name: "upstream" },
    { kind: "message", transactional: true, prefix: "präfix", content: Buffer.from("content".repeat(10)) },
  ];
  for (const message of messages) {
    const shared = encodeMessage(message);
    const decoded = decodeMessage(shared);
    shared.fill(0x5a);
    expect(decoded).toEqual(message);
  }
});
