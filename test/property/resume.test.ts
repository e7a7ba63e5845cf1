// Exactly once, whatever crashes: for any transactions, cut into batches anywhere and killed anywhere, what is published
// in the end is what one undisturbed run publishes, with the same sequences.
import fc from "fast-check";
import { expect, test } from "vitest";
import { RelationCache } from "../../src/capture/relation-cache.ts";
import { type ResumePoint, Sequencer } from "../../src/capture/sequencer.ts";
import { type Lsn, toLsn } from "../../src/event/lsn.ts";
import type { LastTransaction } from "../../src/event/progress.ts";
import { BatchAssembler, type SizedBatch } from "../../src/pipeline/batch.ts";
import type { EncodedEvent } from "../../src/sink/encode-event.ts";
import { lsn, rowEncoder } from "../unit/event/tables.ts";

const KEPT = 1;
const EXCLUDED = 2;

type Step = "insert" | "excluded" | "move" | "truncate" | "message" | "unwanted";

interface Transaction {
  readonly xid: number;
  readonly commitLsn: Lsn;
  readonly endLsn: Lsn;
  readonly steps: readonly Step[];
  /** How far the server is when it next says so; null when it does not. */
  readonly walEnd: Lsn | null;
}

/** What is in Kafka and in the slot: all that outlives a crash. */
interface World {
  readonly published: string[];
  readonly batches: SizedBatch[];
  resume: Omit<ResumePoint, "confirmedFlushLsn">;
  confirmed: Lsn;
}

const transactions: fc.Arbitrary<Transaction[]> = fc
  .array(
    fc.record({
      steps: fc.array(
        fc.constantFrom<Step>("insert", "insert", "insert", "excluded", "move", "truncate", "message", "unwanted"),
        { maxLength: 12 },
      ),
      // 0: adjacent commits, where one's end is the next one's LSN.
      gap: fc.nat({ max: 2 }),
      keepalive: fc.boolean(),
    }),
    { minLength: 1, maxLength: 8 },
  )
  .map((list) => {
    let at = 100;
    return list.map(({ steps, gap, keepalive }, place) => {
      const commitLsn = lsn(at + 10);
      const endLsn = lsn(at + 20);
      // With a gap of 0 the next commit record begins where this one ends.
      at += gap === 0 ? 10 : 20 + gap;
      return { xid: 1_000 - place, commitLsn, endLsn, steps, walEnd: keepalive ? endLsn : null };
    });
  });

function relations(): RelationCache {
  const cache = new RelationCache();
  for (const [oid, topic] of [[KEPT, "t"] as const, [EXCLUDED, null] as const]) {
    const encoder = rowEncoder([["id", "int4"]], { oid });
    cache.announce({ kind: "relation", oid, schema: "public", table: "t", identity: "d", columns: [] });
    cache.resolve(oid, topic === null ? { encoder, topic } : { encoder, topic, partitions: 1 });
  }
  return cache;
}

const MESSAGES = {
  topic: "m",
  partitions: 1,
  wants: (prefix: string) => prefix === "message",
  placeless: () => undefined,
};

class Run {
  readonly #world: World;
  readonly #sequencer: Sequencer;
  readonly #batches: BatchAssembler;

  constructor(world: World, maxBytes: number) {
    this.#world = world;
    this.#batches = new BatchAssembler(maxBytes, world.resume);
    const resume = { ...world.resume, confirmedFlushLsn: world.confirmed };
    this.#sequencer = new Sequencer(resume, relations(), MESSAGES, {
      event: (captured) => {
        const { transaction, sequence, index, last, change } = captured;
        this.#batches.add(event(`${change.operation} ${transaction.id}.${index}`, sequence, last), captured);
      },
      committed: (last, endLsn) => this.#batches.committed(last, endLsn),
      advanced: (to) => this.#batches.advanced(to),
    });
  }

  /** What the server sends, one message at a time; transactions that are confirmed are not sent. */
  *stream(all: readonly Transaction[]): Generator<void> {
    const sequencer = this.#sequencer;
    for (const { xid, commitLsn, endLsn, steps, walEnd } of all) {
      if (commitLsn >= this.#world.confirmed) {
        sequencer.begin({ kind: "begin", commitLsn, commitTime: BigInt(xid), xid });
        yield;
        for (const step of steps) {
          this.#step(step);
          yield;
        }
        sequencer.commit({ kind: "commit", commitLsn, endLsn, commitTime: BigInt(xid) });
        yield;
      }
      if (walEnd !== null) {
        sequencer.keepalive(walEnd);
        yield;
      }
    }
  }

  #step(step: Step): unknown {
    const sequencer = this.#sequencer;
    switch (step) {
      case "insert":
        return sequencer.row({ kind: "insert", relation: KEPT, new: ["1"] });
      case "excluded":
        return sequencer.row({ kind: "insert", relation: EXCLUDED, new: ["1"] });
      case "move":
        return sequencer.row({ kind: "update", relation: KEPT, old: { form: "key", values: ["1"] }, new: ["2"] });
      case "truncate":
        return sequencer.truncate({
          kind: "truncate",
          relations: [KEPT, EXCLUDED, KEPT],
          cascade: false,
          restartIdentity: false,
        });
      case "message":
      case "unwanted":
        return sequencer.message({ kind: "message", transactional: true, prefix: step, content: Buffer.alloc(0) });
      default:
        throw step satisfies never;
    }
  }

  /** Publishes the next batch, or an idle position; the crash may come between Kafka's commit and the confirmation. */
  publish(confirm: boolean, idle: boolean): boolean {
    const world = this.#world;
    const batch = idle && !this.#sequencer.inTransaction ? this.#batches.takeIdle() : this.#batches.take();
    if (batch !== null) {
      expect(batch.endLsn >= world.resume.endLsn).toBe(true);
      world.batches.push(batch);
      world.published.push(...batch.events.map(({ value }) => value));
      const sequence = batch.events.at(-1)?.sequence ?? world.resume.sequence;
      const { completeSequence, endLsn, last } = batch;
      world.resume = { epoch: 1, sequence, completeSequence, endLsn, last };
    }
    if (confirm && this.#sequencer.positionFound) {
      world.confirmed = toLsn(world.resume.endLsn > world.confirmed ? world.resume.endLsn : world.confirmed);
    }
    return batch !== null;
  }
}

function event(what: string, sequence: number, last: boolean): EncodedEvent {
  return { value: `#${sequence} ${what}${last ? "!" : ""}`, sequence, bytes: 1 } as EncodedEvent;
}

function freshWorld(): World {
  const resume = { epoch: 1, sequence: 0, completeSequence: 0, endLsn: lsn(100), last: null };
  return { published: [], batches: [], resume, confirmed: lsn(100) };
}

function undisturbed(all: readonly Transaction[]): World {
  const world = freshWorld();
  const run = new Run(world, Number.POSITIVE_INFINITY);
  for (const _ of run.stream(all));
  while (run.publish(true, false));
  return world;
}

/** Every batch is whole transactions, or a piece of one, and says so. */
function checkBatches(batches: readonly SizedBatch[], all: readonly Transaction[]): void {
  let open: LastTransaction | null = null;
  for (const { events, last, endLsn, completeSequence } of batches) {
    const ids = new Set(events.map(({ value }) => /(\d+)\./.exec(value)![1]));
    const ended = events.at(-1)?.value.endsWith("!") ?? open === null;
    expect(last === null || last.complete === ended).toBe(true);
    if (open !== null || last?.complete === false) {
      expect([...ids]).toEqual([last!.xid]);
    }
    open = last?.complete === false ? last : null;
    if (open !== null) {
      const { commitLsn } = open;
      expect(endLsn <= commitLsn && completeSequence < events[0]!.sequence).toBe(true);
    } else if (events.length > 0) {
      const whole = all.find(({ xid }) => String(xid) === last!.xid)!;
      expect(endLsn >= whole.endLsn && completeSequence === events.at(-1)!.sequence).toBe(true);
    }
  }
}

const lives = fc.array(
  fc.record({
    maxBytes: fc.integer({ min: 1, max: 8 }),
    /** How many messages it lives. */
    length: fc.nat({ max: 60 }),
    /** After each message, cyclically: what is published, and whether it is confirmed before the next. */
    decisions: fc.array(fc.constantFrom("wait", "publish", "confirm", "idle"), { minLength: 1, maxLength: 7 }),
    /** Postgres crashed too, and remembers an older confirmed position. */
    slotForgets: fc.boolean(),
  }),
  { maxLength: 5 },
);

test("replay from the resume point gives exactly the events that were not published, with the same sequences", () => {
  fc.assert(
    fc.property(transactions, lives, (all, crashes) => {
      const expected = undisturbed(all);
      const world = freshWorld();
      const confirmed = [world.confirmed];
      for (const { maxBytes, length, decisions, slotForgets } of crashes) {
        const run = new Run(world, maxBytes);
        let lived = 0;
        for (const _ of run.stream(all)) {
          const decision = decisions[lived % decisions.length]!;
          if (decision !== "wait") {
            run.publish(decision === "confirm", decision === "idle");
          }
          expect(world.confirmed <= world.resume.endLsn).toBe(true);
          if (lived++ === length) {
            break;
          }
        }
        confirmed.push(world.confirmed);
        if (slotForgets) {
          world.confirmed = confirmed[Math.floor(confirmed.length / 2)]!;
        }
      }
      const last = new Run(world, 3);
      for (const _ of last.stream(all));
      while (last.publish(true, false));
      expect(world.published).toEqual(expected.published);
      expect(world.resume.sequence).toBe(expected.resume.sequence);
      expect(world.resume.completeSequence).toBe(world.resume.sequence);
      expect(world.resume.last).toEqual(expected.resume.last);
      checkBatches(world.batches, all);
    }),
    { numRuns: 1_500 },
  );
});
