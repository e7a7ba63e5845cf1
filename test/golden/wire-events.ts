// One event of every kind that the daemon writes, made by the encoder, beside the exact bytes it must make.
import { UNCHANGED } from "../../src/event/column-value.ts";
import { encodeMessage, encodeRowEvent, encodeTruncate } from "../../src/event/envelope.ts";
import type { RowValues } from "../../src/event/row-encoder.ts";
import { lsn, rowEncoder } from "../unit/event/tables.ts";

const orders = rowEncoder(
  [
    ["id", "int8"],
    ["region", "text"],
    ["total", "numeric"],
    ["paid", "bool"],
    ["weight", "float8"],
    ["body", "text"],
  ],
  { table: "orders", key: ["region", "id"], id: 12 },
);
const keyless = rowEncoder(
  [
    ["1", "int4"],
    ["n", "text"],
  ],
  { schemaName: "a.b", table: 'Log "x"', key: [], id: 3 },
);

const transaction = {
  id: "4294966500",
  epoch: 2,
  commitLsn: lsn(0x16_b374_d848),
  timestamp: "2026-11-22T18:00:00.123456Z",
};
const inside = { sequence: 4711, index: 3, last: false };
const atEnd = { sequence: 4712, index: 4, last: true };

const row = ["7", "eu", "12.50", "t", "-0", "é\n"];
const partial: RowValues = ["7", "eu", "13.50", null, "NaN", UNCHANGED];
const keyTuple = ["7", "eu", null, null, null, null];
const moved: RowValues = ["8", "eu", "13.50", null, "1e-07", UNCHANGED];

const HEAD = '{"v":1,"table":"public.orders","operation":';
const SOURCE = '"timestamp":"2026-11-22T18:00:00.123456Z","sequence":';
const INSIDE = `${SOURCE}4711,"transaction":{"id":"4294966500","epoch":2,"lsn":"16/B374D848","index":3}`;
const AT_END = `${SOURCE}4712,"transaction":{"id":"4294966500","epoch":2,"lsn":"16/B374D848","index":4,"last":true}`;
const KEY = '{"region":"eu","id":"7"}';
const ROW = '{"id":"7","region":"eu","total":"12.50","paid":true,"weight":-0,"body":"é\\n"}';

/** What it is, what the encoder makes, what it must be. */
export const WRITTEN: readonly (readonly [string, string, string])[] = [
  [
    "insert",
    encodeRowEvent({ operation: "insert", new: row, previousKey: null }, orders, transaction, inside),
    `${HEAD}"insert","key":${KEY},"before":null,"after":${ROW},${INSIDE},"schema":12}`,
  ],
  [
    "update under DEFAULT, with an unchanged column, last of its transaction",
    encodeRowEvent({ operation: "update", old: null, new: partial }, orders, transaction, atEnd),
    `${HEAD}"update","key":${KEY},"before":null,"after":{"id":"7","region":"eu","total":"13.50","paid":null,"weight":"NaN"},${AT_END},"schema":12,"unchanged":["body"]}`,
  ],
  [
    "update under FULL",
    encodeRowEvent({ operation: "update", old: row, new: row }, orders, transaction, inside),
    `${HEAD}"update","key":${KEY},"before":${ROW},"after":${ROW},${INSIDE},"schema":12}`,
  ],
  [
    "delete under DEFAULT",
    encodeRowEvent(
      { operation: "delete", old: keyTuple, oldIsWhole: false, nextKey: null, unchanged: [] },
      orders,
      transaction,
      inside,
    ),
    `${HEAD}"delete","key":${KEY},"before":${KEY},"after":null,${INSIDE},"schema":12}`,
  ],
  [
    "delete under FULL",
    encodeRowEvent(
      { operation: "delete", old: row, oldIsWhole: true, nextKey: null, unchanged: [] },
      orders,
      transaction,
      inside,
    ),
    `${HEAD}"delete","key":${KEY},"before":${ROW},"after":null,${INSIDE},"schema":12}`,
  ],
  [
    "first half of a key change",
    encodeRowEvent(
      { operation: "delete", old: keyTuple, oldIsWhole: false, nextKey: moved, unchanged: ["body"] },
      orders,
      transaction,
      inside,
    ),
    `${HEAD}"delete","key":${KEY},"before":${KEY},"after":null,${INSIDE},"schema":12,"nextKey":{"region":"eu","id":"8"},"unchanged":["body"]}`,
  ],
  [
    "second half of a key change",
    encodeRowEvent({ operation: "insert", new: moved, previousKey: keyTuple }, orders, transaction, atEnd),
    `${HEAD}"insert","key":{"region":"eu","id":"8"},"before":null,"after":{"id":"8","region":"eu","total":"13.50","paid":null,"weight":1e-07},${AT_END},"schema":12,"previousKey":${KEY},"unchanged":["body"]}`,
  ],
  [
    "truncate",
    encodeTruncate(orders, 4, transaction, atEnd),
    `${HEAD}"truncate","key":null,"before":null,"after":null,${AT_END},"schema":12,"copies":4}`,
  ],
  [
    "keyless insert",
    encodeRowEvent({ operation: "insert", new: ["5", ""], previousKey: null }, keyless, transaction, inside),
    `{"v":1,"table":"\\"a.b\\".\\"Log \\"\\"x\\"\\"\\"","operation":"insert","key":null,"before":null,"after":{"1":5,"n":""},${INSIDE},"schema":3}`,
  ],
  [
    "delete in a table declared keyless: the columns of its identity",
    encodeRowEvent(
      { operation: "delete", old: ["5", null], oldIsWhole: false, nextKey: null, unchanged: [] },
      keyless,
      transaction,
      inside,
    ),
    `{"v":1,"table":"\\"a.b\\".\\"Log \\"\\"x\\"\\"\\"","operation":"delete","key":null,"before":{"1":5},"after":null,${INSIDE},"schema":3}`,
  ],
];

const OWN = `${SOURCE}9,"transaction":{"id":null,"epoch":2,"lsn":"16/B374D848","index":0}`;
const BARRIER = '"key":null,"before":null,"after":null';

/** Beside `RESERVED`'s, which it must be. */
export const MESSAGE = encodeMessage(
  { operation: "message", prefix: "p", content: Buffer.from([0, 0xff]) },
  transaction,
  inside,
);

/** Of the contract, and not written by the first version of it that was built; their hash is not pinned. */
export const RESERVED: readonly (readonly [string, string])[] = [
  ["read", `${HEAD}"read","key":${KEY},"before":null,"after":${ROW},${OWN},"schema":12}`],
  [
    "message",
    `{"v":1,"table":null,"operation":"message","key":null,"before":null,"after":{"prefix":"p","content":"AP8=","encoding":"base64"},${INSIDE},"schema":null}`,
  ],
  ["gap", `${HEAD}"gap",${BARRIER},${OWN},"schema":null,"reason":"the slot was lost","copies":4}`],
  ["sweep", `${HEAD}"sweep",${BARRIER},${OWN},"schema":null,"since":3,"copies":4}`],
];
