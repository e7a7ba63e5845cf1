// Which rows of a chunk may be published, by what the stream says of their keys and what the chunk's snapshot sees.
import { describe, expect, test } from "vitest";
import type { CapturedTableEvent } from "../../../src/capture/captured-event.ts";
import { keyToReadAgain, TableWatch } from "../../../src/capture/table-watch.ts";
import { UNCHANGED } from "../../../src/event/column-value.ts";
import { Visibility } from "../../../src/source/visibility.ts";
import { lsn, rowEncoder } from "../event/tables.ts";

const table = {
  encoder: rowEncoder([
    ["id", "int4"],
    ["body", "text"],
  ]),
  topic: "t",
  partitions: 1,
};

/** An event of transaction `xid`, whose commit stands at ten times its xid. */
const event = (xid: number, change: CapturedTableEvent["change"]): CapturedTableEvent => ({
  table,
  change,
  transaction: { id: String(xid), epoch: 1, commitLsn: lsn(xid * 10), timestamp: "" },
  sequence: xid,
  index: 1,
  message: 1,
  rest: 0,
  last: true,
});
const insert = (id: number) => ({ operation: "insert", new: [String(id), "b"], previousKey: null }) as const;
const update = (id: number) => ({ operation: "update", old: null, new: [String(id), "b"] }) as const;
const partly = (id: number) => ({ operation: "update", old: null, new: [String(id), UNCHANGED] }) as const;
const moved = (id: number) => ({ operation: "insert", new: [String(id), UNCHANGED], previousKey: ["0", "b"] }) as const;
const remove = (id: number) =>
  ({ operation: "delete", old: [String(id), "b"], oldIsWhole: true, nextKey: null, unchanged: [] }) as const;

const key = (id: number) => table.encoder.recordKey([String(id), null])!;
/** Sees the transactions below 20, but for those that are named; was taken when the WAL stood at 1000. */
const sightBut = (...inProgress: number[]) =>
  new Visibility(`${Math.min(20, ...inProgress)}:20:${inProgress.join(",")}`, lsn(1000));

describe("a chunk counts", () => {
  test("when its snapshot sees all that was streamed before", () => {
    const watch = new TableWatch();
    watch.note(event(11, update(1)));
    watch.note(event(12, update(2)));
    const window = watch.open();
    watch.note(event(13, update(3)));
    expect(window.missing(sightBut())).toEqual([]);
    expect(window.missing(sightBut(12))).toEqual(["12"]);
    expect(window.missing(sightBut(13))).toEqual([]);
  });

  test("not while a transaction of a later xid than the snapshot's last was streamed: it waits for a standby", () => {
    const watch = new TableWatch();
    watch.note(event(25, update(1)));
    expect(watch.open().missing(sightBut())).toEqual(["25"]);
  });

  test("not before those who had written when the watch began are over", () => {
    const watch = new TableWatch();
    watch.expect(["7", "19"]);
    expect(watch.open().missing(sightBut(19))).toEqual(["19"]);
    const window = watch.open();
    watch.close(window, sightBut(19));
    expect(watch.open().missing(sightBut(7, 19))).toEqual(["19"]);
  });

  test("what one snapshot has seen is not asked of later ones", () => {
    const watch = new TableWatch();
    watch.note(event(11, update(1)));
    watch.note(event(12, update(1)));
    watch.close(watch.open(), sightBut(12));
    expect(watch.open().missing(sightBut(11, 12))).toEqual(["12"]);
  });
});

describe("a row", () => {
  const fate = (id: number, changes: readonly [xid: number, CapturedTableEvent["change"]][], inProgress: number[]) => {
    const watch = new TableWatch();
    const window = watch.open();
    for (const [xid, change] of changes) {
      watch.note(event(xid, change));
    }
    return window.fateOf(key(id), sightBut(...inProgress));
  };

  test("that the stream did not touch is published", () => {
    expect(fate(1, [[15, update(2)]], [15])).toBe("publish");
  });

  test("whose changes the snapshot sees is published", () => {
    expect(
      fate(
        1,
        [
          [15, update(1)],
          [16, partly(1)],
        ],
        [],
      ),
    ).toBe("publish");
  });

  test.each([
    ["changed", update(1)],
    ["deleted", remove(1)],
    ["written again", insert(1)],
  ])("that was %s by what the snapshot does not see is dropped: the stream has newer", (_, change) => {
    expect(fate(1, [[15, change]], [15])).toBe("drop");
  });

  test("of which only a part was streamed that the snapshot does not see is read again", () => {
    expect(
      fate(
        1,
        [
          [14, update(1)],
          [15, partly(1)],
        ],
        [15],
      ),
    ).toBe("read-again");
    expect(
      fate(
        1,
        [
          [14, partly(1)],
          [15, update(1)],
        ],
        [14, 15],
      ),
    ).toBe("drop");
  });

  test("of a table that was truncated since is dropped, whatever its key", () => {
    expect(fate(1, [[15, { operation: "truncate" }]], [15])).toBe("drop");
    expect(fate(1, [[15, { operation: "truncate" }]], [])).toBe("publish");
  });

  test("is noted once for each event, until another window takes over what its snapshot did not see", () => {
    const watch = new TableWatch();
    const first = watch.open();
    watch.note(event(14, update(1)));
    watch.note(event(15, update(1)));
    expect(first.noted).toBe(2);
    watch.close(first, sightBut(15));
    const second = watch.open();
    watch.note(event(16, update(2)));
    expect([first.noted, second.noted]).toEqual([2, 1]);
    expect(second.missing(sightBut(14, 15, 16))).toEqual(["15"]);
  });

  test("streamed after the window was closed is not noted there", () => {
    const watch = new TableWatch();
    const window = watch.open();
    watch.close(window, sightBut());
    watch.note(event(15, update(1)));
    expect(window.fateOf(key(1), sightBut(15))).toBe("publish");
  });
});

test("the second half of a key change that left values out is read again, others are not", () => {
  expect(keyToReadAgain(event(15, moved(7)))).toEqual(["7"]);
  expect(keyToReadAgain(event(15, insert(7)))).toBeNull();
  expect(keyToReadAgain(event(15, partly(7)))).toBeNull();
  expect(keyToReadAgain(event(15, { operation: "truncate" }))).toBeNull();
});
