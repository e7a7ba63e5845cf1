// Which keys still have to be read again after a chunk of them.
import { expect, test } from "vitest";
import { TableWatch } from "../../../src/capture/table-watch.ts";
import { leftToReadAgain, withoutDoubles } from "../../../src/daemon/read-again.ts";
import { UNCHANGED } from "../../../src/event/column-value.ts";
import { Visibility } from "../../../src/source/visibility.ts";
import { lsn, rowEncoder } from "../event/tables.ts";

const encoder = rowEncoder(
  [
    ["a", "text"],
    ["v", "text"],
    ["b", "int4"],
  ],
  { key: ["b", "a"] },
);
const sight = new Visibility("15:20:15", lsn(1000));
const WAITING = [
  ["1", "x"],
  ["2", "x"],
  ["3", "x"],
] as const;

function left(keys: readonly (readonly string[])[], found: readonly string[], atEnd: boolean, partly: string[] = []) {
  const watch = new TableWatch();
  const window = watch.open();
  for (const b of partly) {
    watch.note({
      table: { encoder, topic: "t", partitions: 1 },
      change: { operation: "update", old: null, new: ["x", UNCHANGED, b] },
      transaction: { id: "15", epoch: 1, commitLsn: lsn(150), timestamp: "" },
      sequence: 1,
      index: 1,
      message: 1,
      rest: 0,
      last: true,
    });
  }
  const rows = found.map((b) => ["x", "value", b]);
  return leftToReadAgain(WAITING, { keys, rows, atEnd, window, sight, encoder }).map(([b]) => b);
}

test("keys that were read, or have no row any more, are done; those not asked for wait on", () => {
  expect(
    left(
      [
        ["1", "x"],
        ["2", "x"],
      ],
      ["1"],
      true,
    ),
  ).toEqual(["3"]);
});

test("what did not fit into the chunk waits on", () => {
  expect(left(WAITING, ["1"], false)).toEqual(["2", "3"]);
});

test("a key of which the stream has left values out since waits on, with a row or without", () => {
  expect(left(WAITING, ["1", "2"], true, ["2", "3"])).toEqual(["2", "3"]);
});

test("a key waits once", () => {
  expect(
    withoutDoubles([
      ["1", "x"],
      ["2", "x"],
      ["1", "x"],
    ]),
  ).toEqual([
    ["1", "x"],
    ["2", "x"],
  ]);
});
