// The whole loop with a socket, a catalogue and a log made of memory: what is confirmed, when, and what never is.
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Fixture, lastPublished } from "./pipeline-fixture.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const pass = (milliseconds: number) => vi.advanceTimersByTimeAsync(milliseconds);

describe("from frames to confirmations", () => {
  test("an event is confirmed once publish has resolved, and not before", async () => {
    const fixture = new Fixture();
    fixture.begin(110).relation().insert(1).insert(2).commit();
    await pass(1_000);
    expect(fixture.published).toEqual(["#1 #2 → 120 (2), last 110.2"]);
    expect(fixture.confirmed).toEqual([100n]);
    await fixture.resolve();
    expect(fixture.confirmed).toEqual([100n, 120n]);
    expect(fixture.pipeline.published.events).toBe(2);
  });

  test("an idle position is confirmed once it is published, not when the keepalive comes", async () => {
    const fixture = new Fixture();
    fixture.keepalive(500);
    expect(fixture.confirmed).toEqual([100n]);
    await pass(100);
    expect(fixture.published).toEqual(["→ 500 (0), last none"]);
    expect(fixture.confirmed).toEqual([100n]);
    await fixture.resolve();
    expect(fixture.confirmed).toEqual([100n, 500n]);
  });

  test("no idle record inside a transaction, though nothing of it was an event yet", async () => {
    const fixture = new Fixture();
    fixture.keepalive(500).begin(600).keepalive(590);
    await pass(1_000);
    expect(fixture.published).toEqual([]);
    fixture.commit();
    await pass(100);
    expect(fixture.published).toEqual(["→ 610 (0), last none"]);
  });

  test("a keepalive that asks is answered at once, whatever stands still", async () => {
    const fixture = new Fixture();
    fixture.begin(110).relation().insert(1).keepalive(110, true);
    expect(fixture.answered).toBe(1);
    fixture.keepalive(110, false);
    expect(fixture.answered).toBe(1);
  });
});

describe("a resumed stream", () => {
  test("confirms what is stored only when the server has shown the transaction published last", async () => {
    const fixture = new Fixture({ resume: lastPublished(110, 120), confirmedFlushLsn: 90 });
    fixture.keepalive(95).keepalive(105);
    await pass(1_000);
    expect(fixture.confirmed).toEqual([]);
    expect(fixture.published).toEqual([]);
    fixture.begin(110);
    expect(fixture.confirmed).toEqual([120n]);
    fixture.relation().insert(1).commit();
    await pass(1_000);
    expect(fixture.published).toEqual([]);
    expect(fixture.resolved).toEqual([]);
    fixture.begin(130).insert(2).commit();
    await pass(1_000);
    expect(fixture.resolved).toEqual(["t"]);
    expect(fixture.published).toEqual(["#2 → 140 (2), last 130.1"]);
  });

  test("ends when the server does not have it, and confirms nothing", async () => {
    const fixture = new Fixture({ resume: lastPublished(110, 120), confirmedFlushLsn: 90 });
    fixture.begin(130);
    await pass(1_000);
    expect(fixture.ended).toMatchObject({ error: { code: "POSITION_NOT_FOUND" } });
    expect(fixture.confirmed).toEqual([]);
  });
});

describe("a relation that is looked up", () => {
  test("holds back what follows, in order, and the socket is not read meanwhile", async () => {
    const fixture = new Fixture({ slowCatalogue: true });
    fixture.begin(110).relation().insert(1);
    expect(fixture.source.paused).toBe(true);
    fixture.insert(2).commit().keepalive(130);
    await pass(1_000);
    expect(fixture.published).toEqual([]);
    await fixture.lookedUp();
    expect(fixture.source.paused).toBe(false);
    await pass(1_000);
    expect(fixture.published).toEqual(["#1 #2 → 130 (2), last 110.2"]);
    expect(fixture.resolved).toEqual(["t"]);
  });

  test("a TRUNCATE looks up every relation it names", async () => {
    const fixture = new Fixture({ slowCatalogue: true });
    fixture.begin(110).relation(1, "t").relation(2, "u").truncate(1, 2).commit();
    await fixture.lookedUp();
    expect(fixture.source.paused).toBe(true);
    await fixture.lookedUp();
    await pass(1_000);
    expect(fixture.resolved).toEqual(["t", "u"]);
    expect(fixture.published).toEqual(["#1 #2 → 120 (2), last 110.2"]);
  });

  test("it is looked up again after it was announced again, and rows keep the shape they were sent with", async () => {
    const fixture = new Fixture();
    fixture.begin(110).relation().insert(1);
    await pass(0);
    fixture.relation().insert(2).commit();
    await pass(1_000);
    expect(fixture.resolved).toEqual(["t", "t"]);
    expect(fixture.schemas).toEqual([1, 2]);
  });

  test("its failure ends the run", async () => {
    const fixture = new Fixture({ slowCatalogue: true });
    fixture.begin(110).relation().insert(1);
    const error = new Error("gone");
    await fixture.lookedUp(error);
    expect(fixture.ended).toEqual({ error });
  });
});

describe("backpressure", () => {
  test("stops reading when two batches are held, and reads on when they are published", async () => {
    const fixture = new Fixture({ maxBytes: 1_000 });
    fixture.begin(110).relation();
    for (let id = 0; id < 30; id++) {
      fixture.insert(id);
      await pass(0);
    }
    expect(fixture.source.paused).toBe(true);
    expect(fixture.published).toHaveLength(1);
    fixture.commit();
    for (let rounds = 0; rounds < 30 && fixture.source.paused; rounds++) {
      await fixture.resolve();
    }
    expect(fixture.source.paused).toBe(false);
    expect(fixture.published.length).toBeGreaterThan(1);
  });

  test("an open transaction that holds less than a batch never stops the socket for good", async () => {
    const fixture = new Fixture({ maxBytes: 1_000 });
    fixture.begin(110).relation();
    for (let id = 0; id < 200; id++) {
      fixture.insert(id);
      await pass(0);
      while (fixture.source.paused) {
        await fixture.resolve();
      }
    }
    expect(fixture.published.length).toBeGreaterThan(20);
    expect(fixture.published.every((batch) => batch?.endsWith("…"))).toBe(true);
  });
});

describe("the end", () => {
  test("stop publishes the whole transactions at hand, confirms them, and leaves the open one", async () => {
    const fixture = new Fixture();
    fixture.begin(110).relation().insert(1);
    await pass(0);
    fixture.commit().begin(130).insert(2);
    fixture.pipeline.stop();
    expect(fixture.source.paused).toBe(true);
    fixture.insert(3).commit();
    await pass(0);
    expect(fixture.ended).toBeNull();
    await fixture.resolve();
    expect(fixture.ended).toEqual({ error: null });
    expect(fixture.published).toEqual(["#1 → 120 (1), last 110.1"]);
    expect(fixture.confirmed).toEqual([100n, 120n]);
  });

  test("after stop the socket stays unread, though what is published makes room", async () => {
    const fixture = new Fixture({ maxBytes: 1_000 });
    fixture.begin(110).relation();
    for (let id = 0; id < 30; id++) {
      fixture.insert(id);
      await pass(0);
    }
    fixture.commit();
    fixture.pipeline.stop();
    while (fixture.ended === null) {
      await fixture.resolve();
    }
    expect(fixture.published.at(-1)).toMatch(/ #30 → 120 \(30\), last 110\.30$/);
    expect(fixture.source.paused).toBe(true);
  });

  test("a stop does not wait for a Kafka that takes nothing: it ends without an error, and nothing more is published", async () => {
    const fixture = new Fixture({ maxBytes: 100 });
    fixture.begin(110).relation().insert(1);
    await pass(0);
    fixture.commit().begin(130).insert(2).commit();
    fixture.pipeline.stop();
    await pass(4_900);
    expect(fixture.ended).toBeNull();
    await pass(200);
    expect(fixture.ended).toEqual({ error: null });
    await fixture.resolve();
    await pass(1_000);
    expect(fixture.published).toHaveLength(1);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("a stop in time leaves no timer", async () => {
    const fixture = new Fixture();
    fixture.pipeline.stop();
    await pass(0);
    expect(fixture.ended).toEqual({ error: null });
    expect(vi.getTimerCount()).toBe(0);
  });

  test("a publish that fails ends the run and confirms nothing", async () => {
    const fixture = new Fixture();
    fixture.begin(110).relation().insert(1);
    await pass(0);
    fixture.commit().begin(130).insert(2).commit();
    await pass(1_000);
    const error = new Error("fenced");
    await fixture.reject(error);
    await pass(1_000);
    expect(fixture.ended).toEqual({ error });
    expect(fixture.published).toHaveLength(1);
    expect(fixture.confirmed).toEqual([100n]);
  });

  test("bytes that can't be read end the run, and nothing after them is looked at", async () => {
    const fixture = new Fixture();
    fixture.frame(Buffer.from("??")).begin(110).relation().insert(1).commit().keepalive(900, true);
    await pass(1_000);
    expect(fixture.ended).toMatchObject({ error: { code: "PGOUTPUT_MALFORMED" } });
    expect(fixture.published).toEqual([]);
    expect(fixture.answered).toBe(0);
    expect(fixture.source.paused).toBe(true);
  });

  test("fail ends at once: what is on its way is the last that is published", async () => {
    const fixture = new Fixture({ maxBytes: 100 });
    fixture.begin(110).relation().insert(1);
    await pass(0);
    fixture.commit().begin(130).insert(2).commit();
    const error = new Error("lost");
    fixture.pipeline.fail(error);
    await pass(0);
    expect(fixture.ended).toEqual({ error });
    await fixture.resolve();
    await pass(1_000);
    expect(fixture.published).toHaveLength(1);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("drainThenFail publishes as stop does, then ends with the error", async () => {
    const fixture = new Fixture();
    fixture.begin(110).relation().insert(1);
    await pass(0);
    fixture.commit();
    const error = new Error("shutdown");
    void fixture.pipeline.drainThenFail(error);
    await pass(0);
    expect(fixture.ended).toBeNull();
    await fixture.resolve();
    expect(fixture.ended).toEqual({ error });
    expect(fixture.confirmed).toEqual([100n, 120n]);
  });

  test("drainThenFail is over too when the batch on its way fails: the run ends with that error", async () => {
    const fixture = new Fixture();
    fixture.begin(110).relation().insert(1);
    await pass(0);
    fixture.commit();
    let over = false;
    void fixture.pipeline.drainThenFail(new Error("shutdown")).then(() => {
      over = true;
    });
    await pass(0);
    expect(over).toBe(false);
    const error = new Error("fenced");
    await fixture.reject(error);
    expect(fixture.ended).toEqual({ error });
    expect(over).toBe(true);
  });

  test("a look-up that answers after the end changes nothing", async () => {
    const fixture = new Fixture({ slowCatalogue: true });
    fixture.begin(110).relation().insert(1).commit();
    fixture.pipeline.stop();
    await fixture.lookedUp();
    await pass(1_000);
    expect(fixture.ended).toEqual({ error: null });
    expect(fixture.published).toEqual([]);
    expect(fixture.source.paused).toBe(true);
  });
});
