// The comparison of `npm run demo -- --check` finds what it is there to find.
import { expect, test } from "vitest";
import { differences, judge, playTopic, type Row, type Rows } from "../../../dev/demo/compare.ts";

let offset = 0;
const record = (partition: number, event: object) => ({
  partition,
  offset: BigInt(offset++),
  value: JSON.stringify({ v: 1, table: "public.products", ...event }),
});
const insert = (sequence: number, id: string, name: string) => ({
  operation: "insert",
  key: { id },
  after: { id, name, stock: 5, note: null },
  sequence,
});

const PLAYED = [
  record(0, insert(1, "1", "kettle")),
  record(1, insert(2, "2", "lamp")),
  record(0, {
    operation: "update",
    key: { id: "1" },
    after: { id: "1", stock: 4, note: "x" },
    unchanged: ["name"],
    sequence: 3,
  }),
  record(1, { operation: "delete", key: { id: "2" }, after: null, sequence: 4 }),
];
const TABLE: Rows = new Map([['["1"]', { id: "1", name: "kettle", stock: "4", note: "x" }]]);

test("a topic gives the rows, with unchanged values carried over", () => {
  const topic = playTopic(PLAYED);
  expect(topic.rows).toEqual(TABLE);
  expect(judge(TABLE, topic, TABLE)).toEqual({
    equal: true,
    lines: ["table 1 rows, topic 1 keys, index 1 rows: equal; sequence 1..4 gapless; 0 duplicates"],
  });
});

test("a key change moves unchanged values to the new key", () => {
  const { rows, unresolved } = playTopic([
    record(0, insert(1, "1", "kettle")),
    record(0, {
      operation: "delete",
      key: { id: "1" },
      after: null,
      nextKey: { id: "9" },
      unchanged: ["name"],
      sequence: 2,
    }),
    record(1, {
      operation: "insert",
      key: { id: "9" },
      previousKey: { id: "1" },
      after: { id: "9", stock: 5, note: null },
      unchanged: ["name"],
      sequence: 3,
    }),
  ]);
  expect(unresolved).toEqual([]);
  expect(rows).toEqual(new Map([['["9"]', { id: "9", name: "kettle", stock: "5", note: null }]]));
});

test("a truncate empties the topic's rows, and its copies count once", () => {
  const truncate = { operation: "truncate", key: null, after: null, copies: 2, sequence: 2 };
  const topic = playTopic([record(0, insert(1, "1", "kettle")), record(0, truncate), record(1, truncate)]);
  expect(topic).toMatchObject({ rows: new Map(), duplicates: [], missing: [], last: 2 });
  expect(playTopic([record(0, truncate), record(0, truncate)]).duplicates).toEqual([2]);
});

test("gaps, duplicates and disorder are found", () => {
  const gap = playTopic([record(0, insert(1, "1", "a")), record(0, insert(3, "3", "c"))]);
  expect(gap.missing).toEqual([2]);
  expect(judge(gap.rows, gap, gap.rows)).toMatchObject({ equal: false });
  const twice = playTopic([record(0, insert(1, "1", "a")), record(0, insert(1, "1", "a"))]);
  expect(twice.duplicates).toEqual([1]);
  expect(judge(twice.rows, twice, twice.rows)).toMatchObject({ equal: false });
  const elsewhere = playTopic([record(0, insert(1, "1", "a")), record(1, insert(1, "1", "a"))]);
  expect(elsewhere.duplicates).toEqual([1]);
  const disorder = playTopic([record(0, insert(2, "2", "b")), record(0, insert(1, "1", "a"))]);
  expect(disorder.outOfOrder).toEqual([1]);
});

test("an update without its row, and an event that no table explains, are named", () => {
  const unknown = { operation: "update", key: { id: "1" }, after: { id: "1" }, unchanged: ["name"], sequence: 1 };
  expect(playTopic([record(0, unknown)]).unresolved).toEqual([1]);
  expect(playTopic([record(0, { operation: "gap", key: null, after: null, sequence: 1 })]).unresolved).toEqual([1]);
  expect(() => playTopic([{ partition: 0, value: '{"v":2}' }])).toThrow("version 1");
});

test("differences are named without values", () => {
  const other: Rows = new Map<string, Row>([
    ['["1"]', { id: "1", name: "pot", stock: "4", note: null }],
    ['["7"]', { id: "7" }],
  ]);
  const table: Rows = new Map<string, Row>([...TABLE, ['["2"]', { id: "2" }]]);
  expect(differences(table, other, "index")).toEqual([
    'row ["1"] differs in the index: name, note',
    'row ["2"] is missing in the index',
    'row ["7"] of the index is not in the table',
  ]);
});
