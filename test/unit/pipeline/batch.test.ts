// Where a batch is cut, and what its progress record will say.
import { describe, expect, test } from "vitest";
import { BatchAssembler } from "../../../src/pipeline/batch.ts";
import { lsn } from "../event/tables.ts";
import { describeBatch, encodedEvent, feed, lastOf, START, sourceTransaction } from "./events.ts";

/** A batch holds fewer than 10 bytes. */
const assembler = (base = START as ConstructorParameters<typeof BatchAssembler>[1]) => new BatchAssembler(10, base);
const takeAll = (batches: BatchAssembler) => {
  const taken: (string | null)[] = [];
  for (let batch = batches.take(); batch !== null; batch = batches.take()) {
    taken.push(describeBatch(batch));
  }
  return taken;
};

describe("whole transactions", () => {
  test("are taken together, with the position of the last", () => {
    const batches = assembler();
    feed(batches, 110, 1, [1, 1]);
    feed(batches, 130, 3, [1]);
    expect(batches.hasSealed).toBe(false);
    expect(batches.oldest).toBe("time 110");
    const batch = batches.take()!;
    expect(describeBatch(batch)).toBe("#1 #2 #3 → 140 (3), last 130.1");
    expect(batch).toMatchObject({ bytes: 3, since: "time 110" });
    expect(batches.take()).toBeNull();
    expect(batches.oldest).toBeNull();
  });

  test("the open one stays behind", () => {
    const batches = assembler();
    feed(batches, 110, 1, [1]);
    feed(batches, 130, 2, [1, 1], true);
    expect(takeAll(batches)).toEqual(["#1 → 120 (1), last 110.1"]);
    expect(batches.oldest).toBe("time 130");
    expect(batches.take()).toBeNull();
  });

  test("a batch that fills is cut at the last complete one; the tail opens the next", () => {
    const batches = assembler();
    feed(batches, 110, 1, [4]);
    feed(batches, 130, 2, [4, 4, 1], true);
    expect(batches.hasSealed).toBe(true);
    expect(describeBatch(batches.take())).toBe("#1 → 120 (1), last 110.1");
    expect(batches.take()).toBeNull();
    batches.committed(lastOf(130, 3, true), lsn(140));
    expect(takeAll(batches)).toEqual(["#2 #3 #4 → 140 (4), last 130.3"]);
  });

  test("one that fills a batch with its last event is cut off whole", () => {
    const batches = assembler();
    feed(batches, 110, 1, [4]);
    feed(batches, 130, 2, [4, 4]);
    feed(batches, 150, 4, [1]);
    expect(takeAll(batches)).toEqual(["#1 → 120 (1), last 110.1", "#2 #3 #4 → 160 (4), last 150.1"]);
  });

  test.each([
    ["a single event larger than a batch", [25]],
    ["exactly a batch", [5, 5]],
    ["larger with its last event alone", [9, 25]],
  ])("%s is one complete batch, closed at once", (_, sizes) => {
    const batches = assembler();
    feed(batches, 110, 1, sizes);
    expect(batches.hasSealed).toBe(true);
    const batch = batches.take()!;
    expect(batch.last).toEqual(lastOf(110, sizes.length, true));
    expect(batch).toMatchObject({ endLsn: 120n, completeSequence: sizes.length });
    expect(batch.events).toHaveLength(sizes.length);
    expect(batches.take()).toBeNull();
  });
});

describe("a transaction larger than a batch", () => {
  test("is published in pieces that say so, and move neither endLsn nor completeSequence", () => {
    const batches = assembler();
    feed(batches, 110, 1, [1]);
    feed(batches, 130, 2, [6, 6, 6, 6, 1]);
    feed(batches, 150, 7, [1]);
    expect(takeAll(batches)).toEqual([
      "#1 → 120 (1), last 110.1",
      "#2 #3 → 120 (1), last 130.2…",
      "#4 #5 → 120 (1), last 130.4…",
      // The piece that completes it is closed at its Commit, however small.
      "#6 → 140 (6), last 130.5",
      "#7 → 160 (7), last 150.1",
    ]);
  });

  test("is complete with the piece that holds its last event, also when that fills a batch", () => {
    const batches = assembler();
    feed(batches, 110, 1, [6, 6, 25]);
    expect(takeAll(batches)).toEqual(["#1 #2 → 100 (0), last 110.2…", "#3 → 120 (3), last 110.3"]);
  });

  test("after a restart, what completes it still shares its batch with no other", () => {
    const batches = assembler({ completeSequence: 1, endLsn: lsn(120), last: lastOf(130, 2, false) });
    const transaction = sourceTransaction(130);
    batches.add(encodedEvent(4), { transaction, index: 3, message: 3, rest: 0, last: true });
    batches.committed(lastOf(130, 3, true), lsn(140));
    feed(batches, 150, 5, [1]);
    expect(takeAll(batches)).toEqual(["#4 → 140 (4), last 130.3", "#5 → 160 (5), last 150.1"]);
  });

  test("the bytes of what was cut off no longer count", () => {
    const batches = assembler();
    for (let at = 0; at < 6; at++) {
      feed(batches, 110 + 20 * at, 1 + at, [4]);
    }
    expect(takeAll(batches).length).toBe(3);
    expect(batches.hasSealed).toBe(false);
  });

  test("every batch tells its bytes and since when it waits", () => {
    const batches = assembler();
    feed(batches, 110, 1, [3]);
    feed(batches, 130, 2, [4, 4, 4, 2]);
    const taken = [batches.take(), batches.take(), batches.take()];
    expect(taken.map((batch) => batch && [batch.bytes, batch.since])).toEqual([
      [3, "time 110"],
      [12, "time 130"],
      [2, "time 130"],
    ]);
  });
});

describe("positions without events", () => {
  test("move endLsn alone", () => {
    const batches = assembler();
    expect(batches.canIdle).toBe(false);
    expect(batches.takeIdle()).toBeNull();
    batches.advanced(lsn(105));
    expect(batches.canIdle).toBe(true);
    expect(describeBatch(batches.takeIdle())).toBe("→ 105 (0), last none");
    expect(batches.takeIdle()).toBeNull();
    batches.advanced(lsn(104));
    expect(batches.takeIdle()).toBeNull();
  });

  test("repeat the rest", () => {
    const batches = assembler();
    feed(batches, 110, 1, [1, 1]);
    batches.take();
    batches.advanced(lsn(300));
    expect(describeBatch(batches.takeIdle())).toBe("→ 300 (2), last 110.2");
    feed(batches, 310, 3, [1]);
    expect(takeAll(batches)).toEqual(["#3 → 320 (3), last 310.1"]);
  });

  test("that come while whole transactions wait go with them", () => {
    const batches = assembler();
    feed(batches, 110, 1, [1]);
    batches.advanced(lsn(200));
    batches.advanced(lsn(150));
    expect(batches.canIdle).toBe(false);
    expect(takeAll(batches)).toEqual(["#1 → 200 (1), last 110.1"]);
    expect(batches.canIdle).toBe(false);
  });

  test("are not taken while a batch or an event waits", () => {
    const batches = assembler();
    batches.advanced(lsn(105));
    feed(batches, 110, 1, [1], true);
    expect(batches.takeIdle()).toBeNull();
    batches.committed(lastOf(110, 1, true), lsn(120));
    expect(batches.takeIdle()).toBeNull();
    expect(takeAll(batches)).toEqual(["#1 → 120 (1), last 110.1"]);
    expect(batches.takeIdle()).toBeNull();
  });

  test("that come after a full batch are not put in front of it", () => {
    const batches = assembler();
    feed(batches, 110, 1, [25]);
    batches.advanced(lsn(300));
    expect(batches.takeIdle()).toBeNull();
    expect(takeAll(batches)).toEqual(["#1 → 120 (1), last 110.1"]);
    expect(describeBatch(batches.takeIdle())).toBe("→ 300 (1), last 110.1");
  });
});
