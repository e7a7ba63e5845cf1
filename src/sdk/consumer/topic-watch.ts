// Adopts the topics of registered tables when they appear, and stops the consumer when one is no longer what it was.
import { AfterimageError } from "../../errors.ts";
import { failpoint } from "../../failpoint.ts";
import type { StoreSession } from "../store/store.ts";
import type { TableQueues } from "./applier.ts";
import { Doubt } from "./doubt.ts";
import type { Registration } from "./handlers.ts";
import type { LogReader, TopicDescription } from "./log-reader.ts";
import { PartitionQueue } from "./partition-queue.ts";
import type { ConsumerLogger } from "./patience.ts";

export interface RegisteredTable<Tx> {
  /** Null for messages. */
  readonly table: string | null;
  readonly topic: string;
  readonly registration: Registration<Tx>;
}

export interface AdoptedTable<Tx> extends TableQueues<Tx> {
  readonly topic: string;
  readonly topicId: string;
}

export class TopicWatch<Tx> {
  readonly #tables: readonly RegisteredTable<Tx>[];
  readonly #topics: readonly string[];
  readonly #session: StoreSession<Tx>;
  readonly #reader: LogReader;
  readonly #logger: ConsumerLogger;
  readonly #adopted = new Map<string, AdoptedTable<Tx>>();
  readonly #saidMissing = new Set<string>();
  readonly #doubt = new Doubt();

  constructor(
    tables: readonly RegisteredTable<Tx>[],
    session: StoreSession<Tx>,
    reader: LogReader,
    logger: ConsumerLogger,
  ) {
    this.#tables = tables;
    this.#topics = tables.map(({ topic }) => topic);
    this.#session = session;
    this.#reader = reader;
    this.#logger = logger;
  }

  get adopted(): AdoptedTable<Tx>[] {
    return [...this.#adopted.values()];
  }

  get waitingFor(): string[] {
    return this.#topics.filter((topic) => !this.#adopted.has(topic));
  }

  /**
   * Looks at all topics once. Records fetched before this returns come from the topics that were checkpointed.
   * @throws REBUILD_REQUIRED, PARTITIONS_CHANGED, TOPIC_MISSING; KAFKA_NOT_READY while it is not sure: look again
   */
  async look(): Promise<void> {
    const found = await this.#describe();
    for (const table of this.#tables) {
      const description = found.get(table.topic);
      const adopted = this.#adopted.get(table.topic);
      if (adopted !== undefined) {
        this.#checkSame(adopted, description);
      } else if (description !== undefined) {
        await this.#adopt(table, description);
      } else if (!this.#saidMissing.has(table.topic)) {
        this.#saidMissing.add(table.topic);
        this.#logger.info(`Waiting for topic ${table.topic}, which does not exist yet.`);
      }
    }
  }

  async #describe(): Promise<ReadonlyMap<string, TopicDescription>> {
    try {
      return await this.#reader.describe(this.#topics);
    } catch (cause) {
      this.#doubt.beginAgain();
      throw cause;
    }
  }

  async #adopt(
    { table, topic, registration }: RegisteredTable<Tx>,
    { id, partitions }: TopicDescription,
  ): Promise<void> {
    const checkpoints = await this.#session.claim(topic, id, partitions);
    failpoint("consumer.positions-read");
    if (checkpoints.some((checkpoint) => checkpoint.topicId !== id)) {
      throw madeAgain(topic);
    }
    this.#checkPartitions(topic, checkpoints.length, partitions);
    const queues = checkpoints.map((checkpoint) => new PartitionQueue(table, checkpoint));
    this.#adopted.set(topic, { table, topic, topicId: id, registration, queues });
  }

  #checkSame({ topic, topicId, queues }: AdoptedTable<Tx>, found: TopicDescription | undefined): void {
    if (found === undefined) {
      if (!this.#doubt.believes(topic, performance.now())) {
        throw notSure(topic, "does not know it");
      }
      throw new AfterimageError(
        "TOPIC_MISSING",
        `Topic ${topic} was deleted while the consumer ran.`,
        "Its events are gone: rebuild the stream, then this view from an empty store.",
      );
    }
    if (found.id !== topicId) {
      throw madeAgain(topic);
    }
    this.#checkPartitions(topic, queues.length, found.partitions);
  }

  #checkPartitions(topic: string, before: number, now: number): void {
    if (now < before && !this.#doubt.believes(topic, performance.now())) {
      throw notSure(topic, `knows ${now} of its ${before} partitions`);
    }
    if (now !== before) {
      throw partitionsChanged(topic, before, now);
    }
    this.#doubt.settle(topic);
  }
}

function notSure(topic: string, said: string): AfterimageError {
  return new AfterimageError(
    "KAFKA_NOT_READY",
    `Topic ${topic} is being read, but a broker ${said}.`,
    "A broker that has just started learns of topics a moment later.",
  );
}

function madeAgain(topic: string): AfterimageError {
  return new AfterimageError(
    "REBUILD_REQUIRED",
    `Topic ${topic} is not the one this view was built from: it was deleted and made again.`,
    "Empty the view's store and start again: the view is built from the stream as it is now.",
  );
}

function partitionsChanged(topic: string, before: number, now: number): AfterimageError {
  return new AfterimageError(
    "PARTITIONS_CHANGED",
    `Topic ${topic} had ${before} partitions and has ${now}: rows moved between partitions, their order is lost.`,
    "Never add partitions to a stream's topic. Rebuild the stream, then this view from an empty store.",
  );
}
