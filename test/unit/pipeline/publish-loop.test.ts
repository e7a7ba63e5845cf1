// When which batch is published: one at a time, full ones at once, others after the linger, idle positions in between.
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Lsn } from "../../../src/event/lsn.ts";
import type { Progress } from "../../../src/event/progress.ts";
import { BatchAssembler } from "../../../src/pipeline/batch.ts";
import { PublishLoop } from "../../../src/pipeline/publish-loop.ts";
import type { PublishableBatch } from "../../../src/sink/publisher.ts";
import { lsn } from "../event/tables.ts";
import { describeBatch, feed, START } from "./events.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const LINGER_MS = 20;

class Fixture {
  /** What was given to `publish`, in order. */
  readonly begun: (string | null)[] = [];
  readonly confirmed: Lsn[] = [];
  readonly failures: unknown[] = [];
  inTransaction = false;
  #inFlight: { batch: PublishableBatch; settled: PromiseWithResolvers<Progress> } | null = null;

  readonly loop = new PublishLoop(
    {
      publish: (batch) => {
        expect(this.#inFlight, "one publish in flight").toBeNull();
        this.begun.push(describeBatch(batch));
        const settled = Promise.withResolvers<Progress>();
        this.#inFlight = { batch, settled };
        return settled.promise;
      },
      published: (progress) => void this.confirmed.push(progress.endLsn),
      failed: (error) => void this.failures.push(error),
      inTransaction: () => this.inTransaction,
      lingerMs: LINGER_MS,
    },
    new BatchAssembler(10, START),
  );

  /** Kafka has committed the batch in flight. */
  async resolve(): Promise<void> {
    const { batch, settled } = this.#inFlight!;
    this.#inFlight = null;
    settled.resolve({ endLsn: batch.endLsn } as Progress);
    await vi.advanceTimersByTimeAsync(0);
  }

  async reject(error: unknown): Promise<void> {
    const { settled } = this.#inFlight!;
    this.#inFlight = null;
    settled.reject(error);
    await vi.advanceTimersByTimeAsync(0);
  }
}

const pass = (milliseconds: number) => vi.advanceTimersByTimeAsync(milliseconds);

describe("batches", () => {
  test("wait for the linger from the first commit on", async () => {
    const { loop, begun } = new Fixture();
    feed(loop, 110, 1, [1]);
    await pass(15);
    feed(loop, 130, 2, [1]);
    await pass(4);
    expect(begun).toEqual([]);
    await pass(1);
    expect(begun).toEqual(["#1 #2 → 140 (2), last 130.1"]);
  });

  test("that are full do not wait", async () => {
    const { loop, begun } = new Fixture();
    feed(loop, 110, 1, [25]);
    expect(begun).toEqual(["#1 → 120 (1), last 110.1"]);
  });

  test("of part of a transaction are published by size alone, never by the linger", async () => {
    const { loop, begun } = new Fixture();
    feed(loop, 110, 1, [4, 4], true);
    await pass(1_000);
    expect(begun).toEqual([]);
    feed(loop, 110, 3, [4], true);
    expect(begun).toEqual(["#1 #2 #3 → 100 (0), last 110.1…"]);
  });

  test("go out one at a time; what came meanwhile goes at once, together", async () => {
    const fixture = new Fixture();
    const { loop, begun, confirmed } = fixture;
    feed(loop, 110, 1, [25]);
    feed(loop, 130, 2, [1]);
    feed(loop, 150, 3, [1]);
    await pass(1_000);
    expect(begun).toHaveLength(1);
    expect(confirmed).toEqual([]);
    await fixture.resolve();
    expect(confirmed).toEqual([120n]);
    expect(begun[1]).toBe("#2 #3 → 160 (3), last 150.1");
    await fixture.resolve();
    expect(confirmed).toEqual([120n, 160n]);
  });

  test("tell since when the oldest commit waits", async () => {
    const fixture = new Fixture();
    expect(fixture.loop.oldestPending).toBeNull();
    feed(fixture.loop, 110, 1, [25]);
    feed(fixture.loop, 130, 2, [1]);
    expect(fixture.loop.oldestPending).toBe("time 110");
    await fixture.resolve();
    expect(fixture.loop.oldestPending).toBe("time 130");
    await fixture.resolve();
    expect(fixture.loop.oldestPending).toBeNull();
  });
});

describe("idle positions", () => {
  test("follow within 100 ms, and again when the WAL moved again, and none when it did not", async () => {
    const fixture = new Fixture();
    const { loop, begun } = fixture;
    loop.advanced(lsn(200));
    await pass(100);
    expect(begun).toEqual(["→ 200 (0), last none"]);
    await fixture.resolve();
    await pass(1_000);
    expect(begun).toHaveLength(1);
    for (let at = 201; at <= 300; at++) {
      loop.advanced(lsn(at));
      await pass(1);
      if (begun.length > 1 && fixture.confirmed.length < begun.length) {
        await fixture.resolve();
      }
    }
    await pass(100);
    expect(begun.at(-1)).toBe("→ 300 (0), last none");
    expect(begun.length).toBeLessThan(6);
  });

  test("are not written while a transaction is begun", async () => {
    const fixture = new Fixture();
    fixture.loop.advanced(lsn(200));
    fixture.inTransaction = true;
    await pass(1_000);
    expect(fixture.begun).toEqual([]);
    fixture.inTransaction = false;
    fixture.loop.advanced(lsn(220));
    await pass(100);
    expect(fixture.begun).toEqual(["→ 220 (0), last none"]);
  });

  test("are not written while events wait", async () => {
    const { loop, begun } = new Fixture();
    loop.advanced(lsn(105));
    feed(loop, 110, 1, [1]);
    await pass(1_000);
    expect(begun).toEqual(["#1 → 120 (1), last 110.1"]);
  });

  test("that came while a batch was on its way follow it", async () => {
    const fixture = new Fixture();
    feed(fixture.loop, 110, 1, [25]);
    fixture.loop.advanced(lsn(300));
    await pass(1_000);
    expect(fixture.begun).toHaveLength(1);
    await fixture.resolve();
    await pass(100);
    expect(fixture.begun[1]).toBe("→ 300 (1), last 110.1");
  });
});

describe("drain", () => {
  const drained = (loop: PublishLoop) => {
    const state = { over: false };
    void loop.drain().then(() => {
      state.over = true;
    });
    return state;
  };

  test("publishes the whole transactions at hand, without the linger, and leaves the open one", async () => {
    const fixture = new Fixture();
    feed(fixture.loop, 110, 1, [1]);
    feed(fixture.loop, 130, 2, [1, 1], true);
    const state = drained(fixture.loop);
    expect(fixture.begun).toEqual(["#1 → 120 (1), last 110.1"]);
    await pass(0);
    expect(state.over).toBe(false);
    await fixture.resolve();
    expect(state.over).toBe(true);
    await pass(1_000);
    expect(fixture.begun).toHaveLength(1);
  });

  test("waits for what is on its way, then publishes the rest", async () => {
    const fixture = new Fixture();
    feed(fixture.loop, 110, 1, [25]);
    feed(fixture.loop, 130, 2, [1]);
    const state = drained(fixture.loop);
    await fixture.resolve();
    expect(fixture.begun[1]).toBe("#2 → 140 (2), last 130.1");
    expect(state.over).toBe(false);
    await fixture.resolve();
    expect(state.over).toBe(true);
  });

  test("with nothing at hand it is over at once, and no idle record follows", async () => {
    const { loop, begun } = new Fixture();
    loop.advanced(lsn(200));
    const state = drained(loop);
    loop.advanced(lsn(300));
    await pass(1_000);
    expect(state.over).toBe(true);
    expect(begun).toEqual([]);
  });
});

describe("a failure", () => {
  test("is told, and nothing is published or confirmed after it", async () => {
    const fixture = new Fixture();
    const error = new Error("no broker");
    feed(fixture.loop, 110, 1, [25]);
    feed(fixture.loop, 130, 2, [25]);
    await fixture.reject(error);
    await pass(1_000);
    expect(fixture.failures).toEqual([error]);
    expect(fixture.confirmed).toEqual([]);
    expect(fixture.begun).toHaveLength(1);
  });

  test("elsewhere ends it: what is on its way may still become durable, the rest is left", async () => {
    const fixture = new Fixture();
    feed(fixture.loop, 110, 1, [25]);
    feed(fixture.loop, 130, 2, [25]);
    fixture.loop.halt();
    await fixture.resolve();
    await pass(1_000);
    expect(fixture.begun).toHaveLength(1);
    expect(vi.getTimerCount()).toBe(0);
  });
});

test("halted, it begins nothing more: neither a batch nor an idle record", async () => {
  const fixture = new Fixture();
  fixture.loop.halt();
  fixture.loop.advanced(lsn(5_000));
  await pass(1_000);
  expect(fixture.begun).toEqual([]);
  expect(vi.getTimerCount()).toBe(0);
});
