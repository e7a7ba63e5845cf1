// Applies queued events to the store: as many as a slice of time allows, in one transaction with their checkpoints.
import { AfterimageError } from "../../errors.ts";
import {
  type ChangeEvent,
  emptiesTable,
  givesUpSnapshot,
  opensSnapshot,
  type RowEvent,
  type SweepEvent,
  topicTableOf,
} from "../../event/change-event.ts";
import { failpoint } from "../../failpoint.ts";
import type { Advance, OpenSnapshot, StoreSession } from "../store/store.ts";
import { dispatch, type Registration } from "./handlers.ts";
import { type JointStep, nextJointStep } from "./joint-step.ts";
import { needsOthers, type PartitionQueue } from "./partition-queue.ts";
import type { SchemaReader } from "./schema-reader.ts";

/** All partitions of one registered table's topic, or of that of messages. */
export interface TableQueues<Tx> {
  /** Null for the topic of messages. */
  readonly table: string | null;
  readonly registration: Registration<Tx>;
  readonly queues: readonly PartitionQueue[];
}

export class Applier<Tx> {
  readonly #session: StoreSession<Tx>;
  readonly #sliceMs: number;
  readonly #signal: AbortSignal;
  readonly #values: SchemaReader | null;

  /** Once the signal is aborted no further event is begun. Without `values` handlers get events as they stand. */
  constructor(session: StoreSession<Tx>, sliceMs: number, signal: AbortSignal, values: SchemaReader | null = null) {
    this.#session = session;
    this.#sliceMs = sliceMs;
    this.#signal = signal;
    this.#values = values;
  }

  /**
   * One transaction. Gives true when events that could be applied are left for the next one.
   * When a handler fails the transaction is rolled back, and the queues are of no further use.
   */
  async applySlice(tables: readonly TableQueues<Tx>[]): Promise<boolean> {
    const deadline = performance.now() + this.#sliceMs;
    await this.#session.begin();
    try {
      let isDone = true;
      for (const table of tables) {
        isDone = (await this.#applyTable(table, deadline)) && isDone;
      }
      await this.#commit(tables);
      return !isDone;
    } catch (cause) {
      await this.#session.rollback();
      throw cause;
    }
  }

  /** Stores how far the partitions were read where only control records followed. */
  async storePositions(tables: readonly TableQueues<Tx>[]): Promise<void> {
    await this.#session.begin();
    try {
      await this.#commit(tables);
    } catch (cause) {
      await this.#session.rollback();
      throw cause;
    }
  }

  /** Ends the open transaction with the checkpoints of everything applied in it. */
  async #commit(tables: readonly TableQueues<Tx>[]): Promise<void> {
    const queues = tables.flatMap((table) => table.queues);
    const advances = queues.map((queue) => queue.pendingAdvance());
    await this.#session.commit(advances.filter((advance): advance is Advance => advance !== null));
    queues.forEach((queue, at) => {
      if (advances[at] !== null) {
        queue.committed(advances[at]!);
      }
    });
  }

  /** False when time ran out or the consumer stops. */
  async #applyTable(table: TableQueues<Tx>, deadline: number): Promise<boolean> {
    for (;;) {
      for (const queue of table.queues) {
        if (!(await this.#drain(table.registration, queue, deadline))) {
          return false;
        }
      }
      if (this.#signal.aborted) {
        return false;
      }
      const step = nextJointStep(table.queues);
      if (step === null) {
        checkCanGoOn(table);
        return true;
      }
      if (!(await this.#applyJointStep(table.registration, step))) {
        return false;
      }
    }
  }

  /** Applies what the partition can do alone; false when time ran out or the consumer stops. */
  async #drain(registration: Registration<Tx>, queue: PartitionQueue, deadline: number): Promise<boolean> {
    let count = 0;
    let head = queue.head();
    for (; head !== null && !needsOthers(head.event); head = queue.head()) {
      // A look at the clock costs as much as a tenth of an event.
      if (this.#signal.aborted || ((count++ & 15) === 15 && performance.now() > deadline)) {
        return false;
      }
      if (this.#values?.knows(head.event) === false && !(await this.#values.learnOf(head.event))) {
        return false;
      }
      const pending = this.#call(registration, head.event, null);
      if (pending !== undefined) {
        await pending;
      }
      failpoint("applier.handled");
      queue.advance();
    }
    if (head !== null) {
      failpoint("applier.partition-held");
    }
    return true;
  }

  /** False when the consumer stops before it. */
  async #applyJointStep(registration: Registration<Tx>, step: JointStep): Promise<boolean> {
    switch (step.kind) {
      case "barrier":
        await this.#applyBarrier(registration, step);
        failpoint("applier.joint-step-handled");
        for (const queue of step.queues) {
          queue.advance();
        }
        return true;
      case "move": {
        const { out, from, into, to } = step;
        for (const event of [out, into]) {
          if (this.#values?.knows(event) === false && !(await this.#values.learnOf(event))) {
            return false;
          }
        }
        // One function gets both as they stand in the stream. Of the pair of handlers `upsert` goes first: it moves
        // the old row with its unchanged values to the new key, and `remove` then finds nothing left to delete.
        const order = typeof registration === "function" ? [out, into] : [into, out];
        for (const event of order) {
          await this.#call(registration, event, event === into ? out : null);
        }
        failpoint("applier.joint-step-handled");
        from.advance();
        to.head();
        to.advance();
        return true;
      }
      default:
        throw step satisfies never;
    }
  }

  /**
   * A gap that a snapshot answers opens it in the store, before its handler; the sweep's closes it afterwards, and so does
   * one that says that it was given up.
   */
  async #applyBarrier(
    registration: Registration<Tx>,
    { event, queues }: JointStep & { kind: "barrier" },
  ): Promise<void> {
    if (event.operation === "gap" && opensSnapshot(event)) {
      const leftovers = !emptiesTable(event) && queues.some(({ sequence }) => sequence > 0);
      await this.#session.setSnapshot(event.table, { since: event.sequence, leftovers });
    }
    if (event.operation === "sweep") {
      checkSweep(event, this.#session.snapshotOf(event.table));
    }
    await this.#call(registration, event, null);
    if (event.operation === "sweep" || (event.operation === "gap" && givesUpSnapshot(event))) {
      await this.#session.setSnapshot(event.table, null);
    }
  }

  /** A promise only when the handler gave one: most don't, and awaiting each event would cost more than it does. */
  #call(registration: Registration<Tx>, stored: ChangeEvent, from: RowEvent | null): Promise<void> | undefined {
    failpoint("applier.before-handler");
    const event = this.#decode(stored);
    const movedFrom = from === null ? null : this.#decode(from).key;
    try {
      this.#session.attribute(event.operation === "message" || topicTableOf(event) === null ? null : event, movedFrom);
      const leftovers = event.operation === "sweep" && this.#session.snapshotOf(event.table)?.leftovers !== false;
      const returned = dispatch(registration, event, this.#session.tx, leftovers);
      return isThenable(returned)
        ? Promise.resolve(returned).then(
            () => undefined,
            (cause: unknown) => {
              throw handlerError(event, cause);
            },
          )
        : undefined;
    } catch (cause) {
      throw handlerError(event, cause);
    }
  }

  #decode<Event extends ChangeEvent>(event: Event): Event {
    try {
      return this.#values === null ? event : this.#values.decode(event);
    } catch (cause) {
      throw handlerError(event, cause);
    }
  }
}

/** In a sound stream the partition with the lowest sequence can always go on. */
function checkCanGoOn({ table, queues }: TableQueues<never>): void {
  if (queues.every((queue) => !queue.wantsMore)) {
    throw new AfterimageError(
      "STREAM_INCONSISTENT",
      `All partitions of ${table ?? "messages"} wait for each other: their barriers don't match.`,
      "The topic was written by another program. Rebuild the stream: afterimage drop STREAM --topics.",
    );
  }
}

/** What a view keeps of the rows written since its gap is good for that gap's sweep alone. */
function checkSweep(event: SweepEvent, open: OpenSnapshot | null): void {
  if (open !== null && open.since !== event.since) {
    throw new AfterimageError(
      "STREAM_INCONSISTENT",
      `The sweep of ${event.table} at sequence ${event.sequence} is one since ${event.since}, and the gap stands at ${open.since}.`,
      "The topic was written by another program. Rebuild the stream: afterimage drop STREAM --topics.",
    );
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function";
}

/** Names the place of a failure. A foreign error's own text may hold row values, so it is only the cause. */
function handlerError(event: ChangeEvent, cause: unknown): AfterimageError {
  const what = event.table ?? JSON.stringify(event.after.prefix);
  const place = `${event.operation} of ${what}, sequence ${event.sequence}`;
  if (cause instanceof AfterimageError) {
    return new AfterimageError(cause.code, `${cause.message} (${place})`, cause.advice, { cause });
  }
  const kind = cause instanceof Error ? cause.name : typeof cause;
  return new AfterimageError(
    "HANDLER_FAILED",
    `A handler failed with ${kind} (${place}). Nothing of this event was stored.`,
    "Mend the handler and start again: it goes on at this event. The error's `cause` has the details.",
    { cause },
  );
}
