// Going on after a restart: the same transactions come again, and exactly what was not published is handed over.
import { describe, expect, test } from "vitest";
import type { LastTransaction } from "../../../src/event/progress.ts";
import { lsn } from "../event/tables.ts";
import { A, B, EXCLUDED, lastOf, Story, timestampOf } from "./story.ts";

const positionNotFound = expect.objectContaining({ code: "POSITION_NOT_FOUND" });

/** Published whole: transaction 110, which ends at 120, with two events. */
const complete = {
  sequence: 2,
  completeSequence: 2,
  endLsn: lsn(120),
  last: lastOf(110, 110, 2, true),
  confirmedFlushLsn: lsn(100),
};

/** Published in part: transaction 150 up to its second event, after all that ends at 120. */
const half = {
  sequence: 4,
  completeSequence: 2,
  endLsn: lsn(120),
  last: lastOf(150, 150, 2, false),
  confirmedFlushLsn: lsn(120),
};

describe("published whole", () => {
  test("a transaction that ends at or below endLsn is dropped, the next goes on with the next sequence", () => {
    const story = new Story(complete);
    story.transaction(110, 120, () => story.insert(A, 1).move(A, 1, 2).truncate(A, B).message(true));
    expect(story.told).toEqual([]);
    // Adjacent: its Begin has the LSN at which the other one ended.
    story.transaction(120, 130, () => story.insert(A, 3));
    expect(story.told).toEqual(["insert a 3 #3 @120.1!", "commit 120 ..1 end 130"]);
  });

  test("rows of a dropped transaction are not looked at: their tables may be gone", () => {
    const story = new Story(complete).begin(110, 120);
    expect(story.sequencer.wantsRows).toBe(false);
    story.insert(99, 1).truncate(99);
    story.commit().begin(120, 130);
    expect(story.sequencer.wantsRows).toBe(true);
  });

  test("several dropped ones, and positions in between, say nothing", () => {
    const story = new Story({ ...complete, confirmedFlushLsn: lsn(50) });
    story.transaction(60, 70, () => story.insert(A, 1));
    story.keepalive(70).keepalive(75);
    story.transaction(80, 90);
    story.transaction(110, 120, () => story.insert(A, 1).insert(A, 2));
    story.keepalive(120);
    expect(story.told).toEqual([]);
    story.keepalive(121);
    expect(story.told).toEqual(["advance 121"]);
  });

  test("a transaction that began before and commits after is kept", () => {
    const story = new Story(complete).transaction(110, 120);
    story.transaction(125, 130, () => story.insert(A, 9), 42);
    expect(story.told).toEqual(["insert a 9 #3 @125.1!", "commit 42 ..1 end 130"]);
  });
});

describe("published in part", () => {
  test("it goes on at index + 1 with the next sequence", () => {
    const story = new Story(half);
    story.transaction(150, 160, () => story.insert(A, 1).insert(A, 2).insert(A, 3).insert(B, 4));
    expect(story.told).toEqual(["insert a 3 #5 @150.3", "insert b 4 #6 @150.4!", "commit 150 ..4 end 160"]);
  });

  test("what is counted but not kept is counted the same again", () => {
    const story = new Story({ ...half, last: lastOf(150, 150, 6, false) });
    story.transaction(150, 160, () =>
      story.insert(EXCLUDED, 1).message(true).move(A, 1, 2).truncate(EXCLUDED, A).message(true).insert(A, 3),
    );
    expect(story.told).toEqual(["insert a 3 #5 @150.8!", "commit 150 ..8 end 160"]);
  });

  test("between the halves of a key change", () => {
    const story = new Story({ ...half, last: lastOf(150, 150, 1, false) });
    story.transaction(150, 160, () => story.move(A, 1, 2));
    expect(story.told).toEqual(["insert a 2 #5 @150.2!", "commit 150 ..2 end 160"]);
  });

  test("between the relations of a TRUNCATE", () => {
    const story = new Story({ ...half, last: lastOf(150, 150, 1, false) });
    story.transaction(150, 160, () => story.truncate(A, B));
    expect(story.told).toEqual(["truncate b #5 @150.2!", "commit 150 ..2 end 160"]);
  });

  describe("goes on by the message, whatever the key of its table is now", () => {
    const cut = (index: number, message: number, rest?: number) =>
      new Story({ ...half, last: { ...lastOf(150, 150, index, false), message, rest } });

    test("a key change of then is an update now", () => {
      const story = cut(2, 1);
      story.transaction(150, 160, () => story.move(A, 1, 1).insert(A, 3));
      expect(story.told).toEqual(["insert a 3 #5 @150.3!", "commit 150 ..3 end 160"]);
    });

    test("an update of then is a key change now", () => {
      const story = cut(1, 1);
      story.transaction(150, 160, () => story.move(A, 1, 2).insert(A, 3));
      expect(story.told).toEqual(["insert a 3 #5 @150.2!", "commit 150 ..2 end 160"]);
    });

    test("half of a key change was published, which is an update now", () => {
      const story = cut(1, 1, 1);
      story.transaction(150, 160, () => story.move(A, 1, 1).insert(A, 3));
      expect(story.told).toEqual(["update a 1 #5 @150.2", "insert a 3 #6 @150.3!", "commit 150 ..3 end 160"]);
    });

    test("half of a key change was published, and it still is one", () => {
      const story = cut(4, 4, 1);
      story.transaction(150, 160, () => story.insert(EXCLUDED, 1).message(true).insert(99, 1).move(A, 1, 2));
      expect(story.told).toEqual(["insert a 2 #5 @150.5!", "commit 150 ..5 end 160"]);
    });

    test("between the relations of a TRUNCATE", () => {
      const story = cut(2, 2, 1);
      story.transaction(150, 160, () => story.insert(A, 1).truncate(A, B));
      expect(story.told).toEqual(["truncate b #5 @150.3!", "commit 150 ..3 end 160"]);
    });
  });

  test("transactions without events before it are passed over silently", () => {
    const story = new Story(half);
    story.transaction(130, 140, () => story.insert(EXCLUDED, 1));
    story.keepalive(140);
    expect(story.told).toEqual([]);
    story.transaction(150, 160, () => story.insert(A, 1).insert(A, 2).insert(A, 3));
    expect(story.told).toEqual(["insert a 3 #5 @150.3!", "commit 150 ..3 end 160"]);
  });
});

describe("the position has to be found before anything is confirmed", () => {
  test("it is found by the Begin of the transaction published last", () => {
    const story = new Story(complete);
    expect(story.sequencer.positionFound).toBe(false);
    story.keepalive(105).keepalive(110);
    expect(story.sequencer.positionFound).toBe(false);
    story.begin(110, 120);
    expect(story.sequencer.positionFound).toBe(true);
    expect(story.told).toEqual([]);
  });

  test("nothing moves before: neither keepalives nor empty transactions", () => {
    const story = new Story(half);
    story.keepalive(130);
    story.transaction(135, 140);
    story.keepalive(150);
    expect(story.told).toEqual([]);
    expect(story.sequencer.positionFound).toBe(false);
  });

  test.each([
    ["nothing was ever published", {}],
    ["what was published last is confirmed and not sent again", { ...complete, confirmedFlushLsn: lsn(111) }],
  ])("it need not be found when %s", (_, from) => {
    const story = new Story(from);
    expect(story.sequencer.positionFound).toBe(true);
    story.transaction(200, 210, () => story.insert(A, 1)).keepalive(220);
    expect(story.told).toHaveLength(3);
  });

  test("it has to be found when the slot stands exactly at that commit", () => {
    expect(new Story({ ...complete, confirmedFlushLsn: lsn(110) }).sequencer.positionFound).toBe(false);
  });

  test.each<[string, object, (story: Story) => void]>([
    ["a later transaction comes first", complete, (story) => story.begin(130, 140)],
    [
      "a later transaction comes first, after a dropped one",
      complete,
      (story) => story.transaction(105, 108).begin(130, 140),
    ],
    ["the server is past it", complete, (story) => story.keepalive(111)],
    ["at that LSN stands another xid", complete, (story) => story.begin(110, 120, 111)],
    [
      "it lacks events that were published",
      half,
      (story) => story.transaction(150, 160, () => story.insert(A, 1).insert(A, 2)),
    ],
    ["it has no events left", half, (story) => story.transaction(150, 160)],
    [
      "events stand before it that were never published",
      half,
      (story) => story.transaction(130, 140, () => story.insert(A, 1)),
    ],
  ])("halts when %s", (_, from, steps) => {
    const story = new Story(from);
    expect(() => steps(story)).toThrow(positionNotFound);
    expect(story.told).toEqual([]);
  });

  test.each<[string, Partial<LastTransaction>]>([
    ["that LSN and xid have another commit time", { timestamp: timestampOf(111) }],
    ["that LSN and commit time have another xid", { xid: "111" }],
    ["that xid and commit time have a later LSN", { commitLsn: lsn(109) }],
  ])("halts when %s", (_, change) => {
    const last = { ...complete.last, ...change };
    expect(() => new Story({ ...complete, last }).begin(110, 120)).toThrow(positionNotFound);
  });
});
