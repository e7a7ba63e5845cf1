// The consumer's one loop: fetch from every partition, make sure the topics are still the same, apply, fetch on.
import { setImmediate as nextTurn } from "node:timers/promises";
import { AfterimageError } from "../../errors.ts";
import { failpoint } from "../../failpoint.ts";
import type { StoreSession } from "../store/store.ts";
import { Applier } from "./applier.ts";
import type { FetchedPartition, LogReader } from "./log-reader.ts";
import type { OwnStep } from "./own-step.ts";
import type { PartitionQueue } from "./partition-queue.ts";
import { type ConsumerLogger, patiently, pause } from "./patience.ts";
import type { SchemaReader } from "./schema-reader.ts";
import type { TopicWatch } from "./topic-watch.ts";

export interface RunLoopOptions<Tx> {
  readonly session: StoreSession<Tx>;
  readonly reader: LogReader;
  readonly watch: TopicWatch<Tx>;
  /** Decodes events before their handlers get them; null leaves values as they stand in the stream. */
  readonly values: SchemaReader | null;
  readonly logger: ConsumerLogger;
  readonly signal: AbortSignal;
  /** Handlers run in it. */
  readonly ownStep: OwnStep;
  /** After each commit that moved the position. */
  readonly onCommit: () => void;
  readonly onReachable: (isReachable: boolean) => void;
}

const FETCH_WAIT_MS = 500;
const LOOK_EVERY_MS = 1_000;
const LOOK_FOR_MISSING_EVERY_MS = 200;
/** How long one transaction of the store, and so one turn of the event loop, may take: longer ones are cheaper. */
const SLICE_MS = 50;
const STORE_IDLE_OFFSETS_EVERY_MS = 1_000;

const NOTHING: readonly FetchedPartition[] = [];

export class RunLoop<Tx> {
  readonly #options: RunLoopOptions<Tx>;
  readonly #applier: Applier<Tx>;
  #lookedAt = 0;
  #committedAt = 0;

  constructor(options: RunLoopOptions<Tx>) {
    this.#options = options;
    this.#applier = new Applier(options.session, SLICE_MS, options.signal, options.values);
  }

  /** Until the signal is aborted; what is applied is committed then. */
  async run(): Promise<void> {
    const { signal, watch } = this.#options;
    await this.#look();
    let fetching = this.#fetch();
    while (!signal.aborted) {
      const fetched = await fetching;
      const hasRecords = fetched.some(({ records }) => records.length > 0);
      failpoint("consumer.fetched");
      // Records count only when their topic is seen to be the same after they were fetched.
      if (hasRecords || performance.now() - this.#lookedAt >= LOOK_EVERY_MS || watch.waitingFor.length > 0) {
        await this.#look();
      }
      if (signal.aborted) {
        break;
      }
      this.#push(fetched);
      // The broker works on the next fetch while this one is applied.
      fetching = this.#fetch();
      fetching.catch(() => undefined); // awaited above, in the next round
      await this.#apply(hasRecords);
    }
    await fetching.catch(() => undefined);
  }

  async #fetch(): Promise<readonly FetchedPartition[]> {
    const { reader, watch, signal } = this.#options;
    const positions = this.#queues()
      .filter((queue) => queue.wantsMore)
      .map(({ topic, partition, fetchOffset }) => ({ topic, partition, offset: fetchOffset }));
    const isWaiting = watch.waitingFor.length > 0;
    if (positions.length === 0) {
      // Either no topic exists yet, or all queues are full and about to be applied.
      await pause(watch.adopted.length === 0 ? LOOK_FOR_MISSING_EVERY_MS : 0, signal);
      return NOTHING;
    }
    const maxWaitMs = isWaiting ? LOOK_FOR_MISSING_EVERY_MS : FETCH_WAIT_MS;
    const fetched = await this.#patiently(() => reader.fetch(positions, maxWaitMs)).catch((cause: unknown) =>
      this.#explainFetchError(cause),
    );
    return fetched ?? NOTHING;
  }

  async #look(): Promise<void> {
    await this.#patiently(() => this.#options.watch.look());
    this.#lookedAt = performance.now();
  }

  #push(fetched: readonly FetchedPartition[]): void {
    const queues = new Map(this.#queues().map((queue) => [`${queue.partition} ${queue.topic}`, queue]));
    for (const { topic, partition, records, nextOffset, lastStableOffset } of fetched) {
      queues.get(`${partition} ${topic}`)!.push(records, nextOffset, lastStableOffset);
    }
  }

  async #apply(hasRecords: boolean): Promise<void> {
    const { watch, signal, ownStep, onCommit } = this.#options;
    if (hasRecords) {
      for (let isMore = true; isMore && !signal.aborted; ) {
        isMore = await ownStep.run(() => this.#applier.applySlice(watch.adopted));
        this.#committedAt = performance.now();
        onCommit();
        if (isMore) {
          await nextTurn();
        }
      }
    } else if (
      performance.now() - this.#committedAt >= STORE_IDLE_OFFSETS_EVERY_MS &&
      this.#queues().some((queue) => queue.pendingAdvance() !== null)
    ) {
      await this.#applier.storePositions(watch.adopted);
      this.#committedAt = performance.now();
    }
  }

  #queues(): PartitionQueue[] {
    return this.#options.watch.adopted.flatMap((table) => table.queues);
  }

  #patiently<T>(step: () => Promise<T>): Promise<T | undefined> {
    return patiently(step, { ...this.#options, limitMs: Number.POSITIVE_INFINITY });
  }

  async #explainFetchError(cause: unknown): Promise<never> {
    if (!(cause instanceof AfterimageError) || cause.code !== "OFFSET_OUT_OF_RANGE") {
      throw cause;
    }
    for (const { topic, partition, stored } of this.#queues()) {
      const earliest = await this.#options.reader.earliestOffset(topic, partition);
      if (stored.sequence === 0 && earliest > stored.offset) {
        throw new AfterimageError(
          "HISTORY_INCOMPLETE",
          `Topic ${topic}, partition ${partition}, begins at offset ${earliest}: older events were deleted, so a new view can't be built from it alone.`,
          "Keep the whole history (retention.ms=-1, cleanup.policy=delete), or take a fresh snapshot of the table.",
          { cause },
        );
      }
    }
    throw new AfterimageError(
      "REBUILD_REQUIRED",
      `The stream no longer holds the offset this view stands at. ${cause.message}`,
      "Empty the view's store and start again: the view is built from the stream as it is now.",
      { cause },
    );
  }
}
