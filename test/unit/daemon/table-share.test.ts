// Which connection reads which range of a table, and what the progress record says of it.
import { beforeEach, describe, expect, test } from "vitest";
import { SnapshotBook } from "../../../src/daemon/snapshot-book.ts";
import { TableShare } from "../../../src/daemon/table-share.ts";
import { toBeRead } from "../../../src/daemon/table-snapshot.ts";
import { UNCHANGED } from "../../../src/event/column-value.ts";
import { lsn, rowEncoder } from "../event/tables.ts";

const encoder = rowEncoder([
  ["id", "int4"],
  ["body", "text"],
]);
const table = { encoder, topic: "t", partitions: 1 };
const { oid } = encoder.schema;

let book: SnapshotBook;
let share: TableShare;
beforeEach(() => {
  book = new SnapshotBook([toBeRead(table)], [table]);
  share = new TableShare(book, book.get(oid)!);
});
const ranges = () => book.get(oid)!.ranges.map(({ after, upTo }) => `${after ?? "…"}-${upTo ?? "…"}`);
const cut = (rows = 1000) => {
  const own = share.take()!;
  share.sawChunk(10);
  share.cut(own, { ends: [["30"], ["60"]], rows });
  return own;
};

test("a range that is cut up keeps its first part, and others take the rest; each is read once", () => {
  const own = cut();
  expect(ranges()).toEqual(["…-30", "30-60", "60-…"]);
  expect(own.upTo).toEqual(["30"]);
  expect(share.free).toBe(2);
  expect([share.take(), share.take(), share.take()]).toMatchObject([
    { after: ["30"], upTo: ["60"] },
    { after: ["60"], upTo: null },
    null,
  ]);
});

test("one that is cut up while rows of it are on their way begins behind what is stored", () => {
  const own = share.take()!;
  book.advance(oid, null, ["10"]);
  own.after = ["20"];
  share.sawChunk(10);
  share.cut(own, { ends: [["50"]], rows: 1000 });
  expect(ranges()).toEqual(["10-50", "50-…"]);
  book.advance(oid, own.upTo, ["20"]);
  expect(ranges()).toEqual(["20-50", "50-…"]);
  book.advance(oid, own.upTo, null);
  expect(ranges()).toEqual(["50-…"]);
});

describe("a range stays whole", () => {
  test.each([
    ["when too few rows are left in it", { ends: [["30"]], rows: 39 }],
    ["when nothing is known of it", null],
    ["when the borders are too long for every progress record", { ends: [["x".repeat(3000)]], rows: 1000 }],
  ])("%s, and is not asked about again", (_, sample) => {
    const own = share.take()!;
    expect(share.mayBeCut(own)).toBe(false);
    share.sawChunk(10);
    expect(share.mayBeCut(own)).toBe(true);
    share.cut(own, sample);
    expect(ranges()).toEqual(["…-…"]);
    expect(share.mayBeCut(own)).toBe(false);
  });
});

test("the last one does not leave while something is left, and one at a time reads keys again", async () => {
  const [one, other] = [{}, {}];
  await Promise.all([share.join(async () => []), share.join(async () => [])]);
  expect([share.readsAgain(one), share.readsAgain(other)]).toEqual([true, false]);
  expect([share.mayLeave(one), share.mayLeave(other)]).toEqual([true, false]);
  expect(share.readsAgain(other)).toBe(true);
});

test("after a restart it goes on with the ranges that are stored", () => {
  cut();
  book.advance(oid, ["60"], ["44"]);
  const again = new TableShare(new SnapshotBook(JSON.parse(JSON.stringify(book.state)), [table]), book.get(oid)!);
  expect([again.take(), again.take(), again.take()]).toMatchObject([
    { after: null, upTo: ["30"] },
    { after: ["44"], upTo: ["60"] },
    { after: ["60"], upTo: null },
  ]);
});

test("of a snapshot that is over nothing more is taken, though another one has begun", () => {
  book.remove(oid);
  book.add(toBeRead(table));
  expect(share.entry).toBeUndefined();
  expect([share.free, share.take()]).toEqual([0, null]);
});

test("when it is read anew, everything may be taken once more", () => {
  const own = cut();
  const generation = book.generation(oid);
  for (let id = 0; book.generation(oid) === generation; id++) {
    book.note({
      table,
      change: { operation: "insert", new: [String(1_000_000 + id), UNCHANGED], previousKey: ["0", null] },
      transaction: { id: "7", epoch: 1, commitLsn: lsn(70), timestamp: "" },
      sequence: id,
      index: id,
      message: 1,
      rest: 0,
      last: false,
    });
  }
  expect(ranges()).toEqual(["…-…"]);
  expect(share.take()).toMatchObject({ after: null, upTo: null });
  expect(book.generation(oid)).not.toBe(own.generation);
});

test("one of those who read waits for the stream to pass the change, for all; none goes on before, and it is waited for anew when the table is", async () => {
  book.change(oid, { behind: true });
  const changes: (() => void)[] = [];
  const change = () => new Promise<void>((resolve) => changes.push(resolve));
  const writers = async () => {
    looks++;
    return ["9"];
  };
  let [through, looks] = [0, 0];
  const waiting = [share.pass(change, writers), share.pass(change, writers)].map((pass) => pass.then(() => through++));
  expect(changes.length).toBe(1);
  changes[0]!(); // the table is read anew meanwhile: the change that this was for is not the last one
  await Promise.resolve();
  await new Promise((resolve) => setImmediate(resolve));
  expect([changes.length, through]).toEqual([2, 0]);
  book.change(oid, { behind: false });
  changes[1]!();
  await Promise.all(waiting);
  expect([changes.length, through, looks]).toEqual([2, 2, 2]);
  expect(share.watch.open().missing({ seesNear: () => false, isOver: () => false })).toEqual(["9"]);
  await share.pass(change, writers);
  expect(changes.length).toBe(2);
});

test("what was sampled of a snapshot that has ended meanwhile, or begun anew, cuts nothing", () => {
  const own = share.take()!;
  share.sawChunk(10);
  book.change(oid, { again: [["1"]] });
  share.cut({ ...own, generation: own.generation - 1 }, { ends: [["30"]], rows: 1000 });
  expect(ranges()).toEqual(["…-…"]);
  book.remove(oid);
  share.cut(own, { ends: [["30"]], rows: 1000 });
  expect(book.get(oid)).toBeUndefined();
});
