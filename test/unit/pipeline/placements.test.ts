// Events of the daemon's own: only between transactions, only behind what they must follow, and durable with their state.
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { SnapshotState } from "../../../src/event/snapshot-state.ts";
import { BatchAssembler } from "../../../src/pipeline/batch.ts";
import { Placements } from "../../../src/pipeline/placements.ts";
import type { EncodedEvent } from "../../../src/sink/encode-event.ts";
import { lsn } from "../event/tables.ts";
import { describeBatch, encodedEvent, feed, lastOf, START } from "./events.ts";
import { Fixture } from "./pipeline-fixture.ts";

const state = (rows: number): SnapshotState => [
  {
    table: "t",
    oid: 1,
    where: null,
    since: 1,
    ranges: [{ after: [String(rows)], upTo: null }],
    again: [],
    rows,
    estimate: null,
  },
];

describe("placements", () => {
  let ready = true;
  let sequence = 0;
  let placed: EncodedEvent[] = [];
  let current: SnapshotState = [];
  const placements = () => {
    current = [];
    ready = true;
    sequence = 0;
    placed = [];
    return new Placements({
      from: lsn(100),
      ready: () => ready,
      nextSequence: () => ++sequence,
      placed: (events) => placed.push(...events),
      state: () => current,
    });
  };
  const one = (_: unknown, next: () => number) => [encodedEvent(next())];

  test("wait for their position and for the end of the transaction; resolve when they are durable", async () => {
    const all = placements();
    let durable = false;
    void all.place(lsn(150), one).then(() => {
      durable = true;
    });
    all.settle();
    all.passed(lsn(149));
    all.settle();
    ready = false;
    all.passed(lsn(150));
    all.settle();
    expect(placed).toEqual([]);
    ready = true;
    all.settle();
    expect(placed.map((event) => event.sequence)).toEqual([1]);
    await Promise.resolve();
    expect(durable).toBe(false);
    all.published(1, current);
    await vi.waitFor(() => expect(durable).toBe(true), { timeout: 10_000 });
  });

  test("a position that was passed already does not wait; what changes nothing is durable at once", async () => {
    const all = placements();
    const nothing = all.place(lsn(100), () => []);
    all.settle();
    await nothing;
  });

  test("without events they are durable with the state that they left, not with a batch that was made before", async () => {
    const all = placements();
    const before = state(1);
    current = before;
    expect(all.carried()).toBe(before);
    let durable = false;
    void all
      .place(lsn(100), () => {
        current = state(2);
        return [];
      })
      .then(() => {
        durable = true;
      });
    all.settle();
    all.published(7, before);
    await Promise.resolve();
    expect(durable).toBe(false);
    current = state(3);
    all.published(7, all.carried());
    await vi.waitFor(() => expect(durable).toBe(true), { timeout: 10_000 });
  });

  test("the end of the run rejects those that wait, those that are not durable, and those that come later", async () => {
    const all = placements();
    const waiting = all.place(lsn(150), one);
    const inFlight = all.place(lsn(100), one);
    all.settle();
    all.end();
    await expect(waiting).rejects.toThrow();
    await expect(inFlight).rejects.toThrow();
    await expect(all.place(lsn(100), one)).rejects.toThrow();
  });

  test("one that fails is told, and so are those that were due behind it", async () => {
    const all = placements();
    const fails = () => {
      throw new Error("no such key");
    };
    const [before, failing, behind, later] = [one, fails, one]
      .map((build) => all.place(lsn(100), build))
      .concat(all.place(lsn(150), one));
    expect(() => all.settle()).toThrow("no such key");
    await expect(failing).rejects.toThrow("no such key");
    await expect(behind).rejects.toThrow("no such key");
    all.published(1, current);
    await before;
    all.end();
    await expect(later).rejects.toThrow();
  });
});

describe("in batches", () => {
  test("they are published whole with what is complete, and move neither the last transaction nor its end", () => {
    let current = state(0);
    const batches = new BatchAssembler(10, START, () => current);
    feed(batches, 110, 1, [1, 1]);
    current = state(2);
    batches.placed([encodedEvent(3), encodedEvent(4)]);
    expect(describeBatch(batches.take())).toBe("#1 #2 #3 #4 → 120 (4), last 110.2");
    current = state(4);
    batches.placed([encodedEvent(5, 25)]);
    const full = batches.take()!;
    expect(describeBatch(full)).toBe("#5 → 120 (5), last 110.2");
    expect(full.snapshot).toBe(current);
  });

  test("before any transaction there is no last one; a position passed meanwhile is theirs", () => {
    const batches = new BatchAssembler(10, START);
    batches.advanced(lsn(130));
    batches.placed([encodedEvent(1)]);
    expect(describeBatch(batches.take())).toBe("#1 → 130 (1), last none");
    expect(batches.canIdle).toBe(false);
  });

  test("each batch carries the state as of its last event", () => {
    let current = state(0);
    const batches = new BatchAssembler(10, START, () => current);
    const before = current;
    feed(batches, 110, 1, [1]);
    current = state(1);
    feed(batches, 130, 2, [6, 6, 1], true);
    expect(batches.take()!.snapshot).toBe(before);
    expect(batches.take()!.snapshot).toBe(current);
    batches.committed(lastOf(130, 3, true), lsn(140));
  });

  test("a state that changed without an event is stored by an idle record", () => {
    let current: SnapshotState = [];
    const batches = new BatchAssembler(10, START, () => current);
    expect(batches.canIdle).toBe(false);
    current = state(1);
    expect(batches.canIdle).toBe(true);
    expect(batches.takeIdle()).toMatchObject({ endLsn: lsn(100), snapshot: current, events: [] });
    expect(batches.canIdle).toBe(false);
  });
});

describe("in the pipeline", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  test("they stand after the transaction that is open, and take the next sequence", async () => {
    const it = new Fixture();
    it.begin(110).relation().insert(1);
    await vi.advanceTimersByTimeAsync(0);
    const build = vi.fn((at: bigint, next: () => number) => {
      expect(at).toBe(lsn(120));
      return [encodedEvent(next())];
    });
    const durable = it.pipeline.place(lsn(100), build);
    expect(build).not.toHaveBeenCalled();
    it.commit();
    expect(build).toHaveBeenCalledOnce();
    await vi.advanceTimersByTimeAsync(20);
    expect(it.published).toEqual(["#1 #2 → 120 (2), last 110.1"]);
    await it.resolve();
    await durable;
    expect(it.confirmed.at(-1)).toBe(120n);
  });

  test("an idle server's word that it has sent everything brings them past", async () => {
    const it = new Fixture();
    const build = vi.fn((_: bigint, next: () => number) => [encodedEvent(next())]);
    void it.pipeline.place(lsn(150), build).catch(() => undefined);
    it.keepalive(149);
    expect(build).not.toHaveBeenCalled();
    it.keepalive(150);
    expect(build).toHaveBeenCalledOnce();
  });
});
