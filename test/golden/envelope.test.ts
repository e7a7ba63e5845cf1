// The exact bytes of every event. A change here breaks readers: see wire-schema.test.ts.
import { expect, test } from "vitest";
import { parseEnvelope } from "../../src/event/envelope.ts";
import { encodeProgress, parseProgress } from "../../src/event/progress.ts";
import { encodeSchema, parseSchema } from "../../src/event/schema.ts";
import { lsn, tableSchema } from "../unit/event/tables.ts";
import { RESERVED, WRITTEN } from "./wire-events.ts";

test.each(WRITTEN)("%s", (_, written, expected) => {
  expect(written).toBe(expected);
  expect(parseEnvelope(written)).toEqual(JSON.parse(expected));
});

test.each(RESERVED)("%s is read, though not written yet", (_, text) => {
  expect(parseEnvelope(text)).toEqual(JSON.parse(text));
});

const PROGRESS =
  '{"v":1,"stream":"shop","epoch":1,"firstSequence":10001,"sequence":12000,"completeSequence":12000,"endLsn":"0/16B3780",' +
  '"last":{"commitLsn":"0/16B3748","xid":"742","timestamp":"2026-11-22T18:00:00.123456Z","index":3,"complete":true},' +
  '"systemId":"7574563311234567890","timeline":1,"database":16384,"slot":"afterimage_shop","publication":16999,"resume":"ab12",' +
  '"partitions":{"shop.public.orders":{"0":{"sequence":11999,"offset":5120},"3":{"sequence":12000,"offset":0}}},"snapshot":null}';

test("a progress record", () => {
  const record = encodeProgress({
    stream: "shop",
    epoch: 1,
    firstSequence: 10_001,
    sequence: 12_000,
    completeSequence: 12_000,
    endLsn: lsn(0x16b3780),
    last: {
      commitLsn: lsn(0x16b3748),
      xid: "742",
      timestamp: "2026-11-22T18:00:00.123456Z",
      index: 3,
      complete: true,
    },
    systemId: "7574563311234567890",
    timeline: 1,
    database: 16_384,
    slot: "afterimage_shop",
    publication: 16_999,
    resume: "ab12",
    snapshot: [],
    partitions: new Map([
      [
        "shop.public.orders",
        new Map([
          [0, { sequence: 11_999, offset: 5_120n }],
          [3, { sequence: 12_000, offset: 0n }],
        ]),
      ],
    ]),
  });
  expect(record).toBe(PROGRESS);
  expect(encodeProgress(parseProgress(PROGRESS))).toBe(PROGRESS);
});

test("a schema record, whatever order its fields were made in", () => {
  const schema = tableSchema(
    [
      ["id", "int8"],
      ["region", "text"],
      ["note", "text"],
    ],
    { table: "orders", key: ["region", "id"], id: 12 },
  );
  const expected =
    '{"v":1,"schema":12,"table":"public.orders","oid":16400,"publicationRel":17000,"topicId":"7daS2RGzQCSpzsaCWunrAA","identity":"d","readAt":"0/100","columns":[' +
    '{"name":"id","type":"int8","oid":20,"typmod":-1,"key":2},{"name":"region","type":"text","oid":25,"typmod":-1,"key":1},{"name":"note","type":"text","oid":25,"typmod":-1,"key":null}]}';
  const shuffled = Object.fromEntries(Object.entries(schema).reverse()) as typeof schema;
  expect(encodeSchema(shuffled)).toBe(expected);
  expect(encodeSchema(parseSchema(expected))).toBe(expected);
});
