// Positions and sequences: what counts, what is kept, and what comes again after a restart.
import { describe, expect, test } from "vitest";
import { lsn } from "../event/tables.ts";
import { A, B, EXCLUDED, lastOf, Story, timestampOf } from "./story.ts";

const malformed = expect.objectContaining({ code: "PGOUTPUT_MALFORMED" });

describe("numbering", () => {
  test("sequences are dense over transactions, indexes start anew in each", () => {
    const story = new Story();
    story.transaction(110, 120, () => story.insert(A, 1).insert(B, 2));
    story.transaction(120, 130, () => story.insert(A, 3));
    expect(story.told).toEqual([
      "insert a 1 #1 @110.1",
      "insert b 2 #2 @110.2!",
      "commit 110 ..2 end 120",
      "insert a 3 #3 @120.1!",
      "commit 120 ..1 end 130",
    ]);
    expect(story.events[0]!.transaction).toMatchObject({
      id: "110",
      epoch: 1,
      commitLsn: 110n,
      timestamp: timestampOf(110),
    });
  });

  test("a key change counts two, a TRUNCATE one per relation", () => {
    const story = new Story();
    story.transaction(110, 120, () => story.move(A, 1, 2).truncate(A, B).insert(A, 3));
    expect(story.told).toEqual([
      "delete a 1 #1 @110.1",
      "insert a 2 #2 @110.2",
      "truncate a #3 @110.3",
      "truncate b #4 @110.4",
      "insert a 3 #5 @110.5!",
      "commit 110 ..5 end 120",
    ]);
  });

  test("a key with the same text is one update", () => {
    const story = new Story();
    story.transaction(110, 120, () => story.move(A, 1, 1));
    expect(story.told[0]).toBe("update a 1 #1 @110.1!");
  });

  test("excluded tables and transactional messages count but are not kept", () => {
    const story = new Story();
    story.transaction(110, 120, () =>
      story.insert(EXCLUDED, 1).message(true).insert(A, 1).move(EXCLUDED, 1, 2).truncate(EXCLUDED, A).message(true),
    );
    expect(story.told).toEqual(["insert a 1 #1 @110.3", "truncate a #2 @110.7!", "commit 110 ..7 end 120"]);
  });

  test("non-transactional messages count nowhere, also when they stand inside a transaction", () => {
    const story = new Story();
    story.message(false);
    story.transaction(110, 120, () => story.message(false).insert(A, 1));
    story.message(false);
    expect(story.told).toEqual(["insert a 1 #1 @110.1!", "commit 110 ..1 end 120"]);
  });

  test("a message with a wanted prefix is an event in its place, be it the last or the only one", () => {
    const story = new Story({}, "outbox");
    story.transaction(110, 120, () =>
      story.insert(A, 1).message(true, "outbox").message(true).message(false, "outbox").insert(A, 2),
    );
    story.transaction(120, 130, () => story.message(true, "outbox"));
    story.transaction(130, 140, () => story.insert(A, 3).message(true, "outbox").message(true));
    story.transaction(140, 150, () => story.message(true));
    expect(story.told).toEqual([
      "insert a 1 #1 @110.1",
      "message outbox #2 @110.2",
      "insert a 2 #3 @110.4!",
      "commit 110 ..4 end 120",
      "message outbox #4 @120.1!",
      "commit 120 ..1 end 130",
      "insert a 3 #5 @130.1",
      "message outbox #6 @130.2!",
      "commit 130 ..2 end 140",
      "advance 150",
    ]);
    expect(story.placeless).toEqual(["outbox"]);
  });

  test("a transaction that was published up to a message goes on behind it", () => {
    const last = lastOf(110, 110, 2, false);
    const story = new Story({ sequence: 2, last, confirmedFlushLsn: lsn(100) }, "outbox");
    const steps = () => story.insert(A, 1).message(true, "outbox").message(true, "outbox").insert(A, 2);
    story.transaction(110, 120, steps);
    expect(story.told).toEqual(["message outbox #3 @110.3", "insert a 2 #4 @110.4!", "commit 110 ..4 end 120"]);
  });

  test("only the last kept event is marked, whatever is counted after it", () => {
    const story = new Story();
    story.transaction(110, 120, () => story.insert(A, 1).insert(A, 2).insert(EXCLUDED, 1).message(true));
    expect(story.events.map(({ last }) => last)).toEqual([false, true]);
    expect(story.commits).toEqual([{ last: lastOf(110, 110, 2, true), endLsn: 120n }]);
  });

  test("an event is handed over once the next one shows that it is not the last", () => {
    const story = new Story().begin(110, 120).insert(A, 1);
    expect(story.told).toEqual([]);
    story.insert(EXCLUDED, 1);
    expect(story.told).toEqual([]);
    story.insert(A, 2);
    expect(story.told).toEqual(["insert a 1 #1 @110.1"]);
  });
});

describe("positions without events", () => {
  test("a transaction without kept events moves the position to its end", () => {
    const story = new Story();
    story.transaction(110, 120);
    story.transaction(130, 140, () => story.insert(EXCLUDED, 1).message(true));
    expect(story.told).toEqual(["advance 120", "advance 140"]);
  });

  test("a keepalive moves it, but not inside a transaction and not back", () => {
    const story = new Story();
    story.keepalive(100).keepalive(90);
    expect(story.told).toEqual([]);
    story.keepalive(105);
    story.begin(110, 120).keepalive(300).insert(A, 1).keepalive(301);
    expect(story.told).toEqual(["advance 105"]);
    expect(story.sequencer.inTransaction).toBe(true);
    story.commit();
    expect(story.sequencer.inTransaction).toBe(false);
    expect(story.told.slice(1)).toEqual(["insert a 1 #1 @110.1!", "commit 110 ..1 end 120"]);
  });
});

describe("order of messages", () => {
  test.each<[string, (story: Story) => void]>([
    ["a row outside of transactions", (story) => story.insert(A, 1)],
    ["a truncate outside of transactions", (story) => story.truncate(A)],
    ["a transactional message outside of transactions", (story) => story.message(true)],
    ["a Begin inside a transaction", (story) => story.begin(110, 120).begin(130, 140)],
    ["a row of a relation that was not announced", (story) => story.begin(110, 120).insert(99, 1)],
    [
      "a Commit of another transaction",
      ({ sequencer }) => {
        sequencer.begin({ kind: "begin", commitLsn: lsn(110), commitTime: 0n, xid: 1 });
        sequencer.commit({ kind: "commit", commitLsn: lsn(111), endLsn: lsn(120), commitTime: 0n });
      },
    ],
  ])("%s is refused", (_, steps) => {
    expect(() => steps(new Story())).toThrow(malformed);
  });

  test("a second Commit is refused", () => {
    const story = new Story().transaction(110, 120);
    expect(() => story.commit()).toThrow(malformed);
  });
});
