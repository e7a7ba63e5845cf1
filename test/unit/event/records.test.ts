// Progress and schema records: what is written is read back equal, and what afterimage did not write is refused.
import { describe, expect, test } from "vitest";
import { encodeProgress, type Progress, parseProgress } from "../../../src/event/progress.ts";
import { encodeSchema, parseSchema } from "../../../src/event/schema.ts";
import { lsn, tableSchema } from "./tables.ts";

const progress: Progress = {
  stream: "shop",
  epoch: 1,
  firstSequence: 10_001,
  sequence: 12_000,
  completeSequence: 11_998,
  endLsn: lsn(0xffff_ffff_ffff_fff0n),
  last: {
    commitLsn: lsn(0xffff_ffff_ffff_ffffn),
    xid: "4294966500",
    timestamp: "2026-11-22T18:00:00.123456Z",
    index: 3,
    complete: false,
  },
  systemId: "7574563311234567890",
  timeline: 2,
  database: 4_294_967_295,
  slot: "afterimage_shop",
  publication: 3_000_000_000,
  resume: "0123456789abcdef",
  snapshot: [],
  partitions: new Map([
    [
      "shop.public.orders",
      new Map([
        [0, { sequence: 11_999, offset: 5_120n }],
        [10, { sequence: 12_000, offset: 2n ** 53n - 1n }],
      ]),
    ],
    ["shop.-5F.x", new Map()],
  ]),
};

describe("progress", () => {
  test.each([
    ["a piece of a transaction", progress],
    ["one that keeps the publication's xmin", { ...progress, publicationXmin: 4_294_967_295 }],
    ["one of a batch with schemas", { ...progress, schemaOffset: 7n }],
    ["one of a stream without what came by replication", { ...progress, origin: "none" as const }],
    ["one that knows the topic of messages", { ...progress, messagesTopicId: "YzXvzoJ2SQq53nMenqd5Dw" }],
    ["one that knows the message", { ...progress, last: { ...progress.last!, message: 57, rest: 1 } }],
    ["the first record", { ...progress, last: null, sequence: 0, firstSequence: 1, partitions: new Map() }],
  ])("%s is read back equal", (_, record) => {
    expect(parseProgress(encodeProgress(record))).toEqual(record);
  });

  test("what a snapshot has left to read is read back equal, also as it was written before there were ranges", () => {
    const entry = { table: "t", oid: 1, where: null, since: 1, again: [["9"]], rows: 5, estimate: null };
    const ranges = [
      { after: null, upTo: ["4", "a"] },
      { after: ["7", "ü"], upTo: null },
    ];
    const sorted = { ...entry, order: ["id:23:0", "name:25:100"], ranges };
    for (const record of [sorted, { ...entry, ranges }].map((one) => ({ ...progress, snapshot: [one] }))) {
      expect(parseProgress(encodeProgress(record))).toEqual(record);
    }
    const olderRecord = (cursor: string[] | null, atEnd: boolean) =>
      parseProgress(
        JSON.stringify({
          ...JSON.parse(encodeProgress(progress)),
          snapshot: { tables: [{ ...entry, cursor, atEnd }] },
        }),
      ).snapshot;
    expect(olderRecord(null, false)).toEqual([{ ...entry, ranges: [{ after: null, upTo: null }] }]);
    expect(olderRecord(["5"], false)).toEqual([{ ...entry, ranges: [{ after: ["5"], upTo: null }] }]);
    expect(olderRecord(["5"], true)).toEqual([{ ...entry, ranges: [] }]);
  });

  test.each([
    ["", "PROGRESS_FOREIGN"],
    ["hello", "PROGRESS_FOREIGN"],
    ["null", "PROGRESS_FOREIGN"],
    ["{}", "PROGRESS_FOREIGN"],
    ["[]", "PROGRESS_FOREIGN"],
    ['{"v":1}', "PROGRESS_FOREIGN"],
    ['{"v":1,"endLsn":"x","partitions":{}}', "PROGRESS_FOREIGN"],
    ['{"v":2}', "PROGRESS_VERSION_UNKNOWN"],
    ['{"v":"1"}', "PROGRESS_VERSION_UNKNOWN"],
    ['{"v":null}', "PROGRESS_VERSION_UNKNOWN"],
  ])("%j is refused: %s", (text, code) => {
    expect(() => parseProgress(text)).toThrow(expect.objectContaining({ code }));
  });
});

describe("schemas", () => {
  test("are read back equal", () => {
    const schema = tableSchema(
      [
        ["b", "numeric"],
        ["1", "text"],
        ["a", "int4"],
      ],
      { key: ["a", "b"], schemaName: "a.b", table: 'Ü"', identity: "i", id: 12, oid: 3_000_000_000 },
    );
    expect(parseSchema(encodeSchema(schema))).toEqual(schema);
    const unkeyed = { ...schema, publicationRel: null, identity: "n" as const, columns: [] };
    expect(parseSchema(encodeSchema(unkeyed))).toEqual(unkeyed);
  });

  test("how composite types are made stands at the end, and only where there is one", () => {
    const schema = tableSchema([["p", "text"]]);
    expect(JSON.parse(encodeSchema(schema))).not.toHaveProperty("types");
    const attributes = [{ name: "a", type: "int4", oid: 23 }];
    const typed = { ...schema, types: [{ oid: 16_401, name: "public.pair", kind: "composite", attributes }] as const };
    expect(encodeSchema(typed)).toMatch(
      /,"types":\[\{"oid":16401,"name":"public\.pair","kind":"composite","attributes":\[\{"name":"a","type":"int4","oid":23\}\]\}\]\}$/,
    );
    expect(parseSchema(encodeSchema(typed))).toEqual(typed);
  });

  test.each([
    ["hello", "SCHEMA_FOREIGN"],
    ["null", "SCHEMA_FOREIGN"],
    ['{"v":1}', "SCHEMA_FOREIGN"],
    ['{"v":2}', "SCHEMA_VERSION_UNKNOWN"],
  ])("%j is refused: %s", (text, code) => {
    expect(() => parseSchema(text)).toThrow(expect.objectContaining({ code }));
  });
});
