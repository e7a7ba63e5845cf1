// Publishes one batch as one Kafka transaction: its events, new schema records, and the progress record that accounts
// for them. Accepted is not durable: only what `publish` resolves with may be confirmed to Postgres.
import { setTimeout as sleep } from "node:timers/promises";
import { AfterimageError } from "../errors.ts";
import type { Lsn } from "../event/lsn.ts";
import { encodeProgress, type LastTransaction, type Progress } from "../event/progress.ts";
import { encodeSchema, type TableSchema } from "../event/schema.ts";
import type { SnapshotState } from "../event/snapshot-state.ts";
import { failpoint } from "../failpoint.ts";
import type { KafkaConnection } from "../kafka/connection.ts";
import { AmbiguousOutcome, RecordTooLarge } from "../kafka/errors.ts";
import type { TopicPartition } from "../kafka/protocol/transaction.ts";
import type { ProducerRecord, TransactionalProducer } from "../kafka/transactional-producer.ts";
import { Absence, TRY_AGAIN_MS, throughAbsence } from "./absence.ts";
import type { EncodedEvent } from "./encode-event.ts";
import { waitUntilNoOpenTransaction, waitUntilNothingHeld } from "./held-topics.ts";
import { groupByPartition, lastsOf, placesOf, vectorOf } from "./placed-events.ts";
import { asPoison } from "./poison.ts";
import { readProgress } from "./progress-log.ts";
import { checkWhole, initialiseAndSettle, type OwnTopics, untilReadable } from "./settle.ts";

/** What one Kafka transaction publishes; without events it only moves `endLsn`, or the state of a snapshot. */
export interface PublishableBatch {
  readonly events: readonly EncodedEvent[];
  readonly completeSequence: number;
  readonly endLsn: Lsn;
  readonly last: LastTransaction | null;
  readonly snapshot: SnapshotState;
}

type Records = Map<string, ReadonlyMap<number, readonly ProducerRecord[]>>;
type AppendedRecords = Awaited<ReturnType<TransactionalProducer["produce"]>>;

export interface PublisherOptions {
  readonly progressTopic: string;
  readonly schemasTopic: string;
  readonly transactionTimeoutMs: number;
  /** The progress topic's end when `progress` was read from it. */
  readonly progressEnd: bigint;
  /** The record that was read; null before the first. `progress` may be of the next epoch, and is not stored then. */
  readonly stored: Progress | null;
  /** Schema records that are written already, by id. */
  readonly knownSchemas: Iterable<number>;
  /** How long one batch may wait for a Kafka that doesn't take it; `Absence`'s own by default. */
  readonly patienceMs?: number;
}

export class Publisher {
  readonly #connection: KafkaConnection;
  readonly #producer: TransactionalProducer;
  readonly #options: PublisherOptions;
  readonly #writtenSchemas: Set<number>;
  #progress: Progress;
  /** Where the next progress record has to stand: else something stands between it and the last one that was read. */
  #progressEnd: bigint;
  /** The record that stands in the topic; null before the first. */
  #stored: Progress | null;

  /** `progress` is the record stored last, or what it is to go on from. */
  constructor(
    connection: KafkaConnection,
    producer: TransactionalProducer,
    progress: Progress,
    options: PublisherOptions,
  ) {
    this.#connection = connection;
    this.#producer = producer;
    this.#progress = progress;
    this.#progressEnd = options.progressEnd;
    this.#stored = options.stored;
    this.#options = options;
    this.#writtenSchemas = new Set(options.knownSchemas);
  }

  /** What the operator should know of it though it stops nothing. */
  readonly notes: string[] = [];

  /** The record stored last. */
  get progress(): Progress {
    return this.#progress;
  }

  /**
   * Commits the batch exactly once and resolves with the progress record that is now stored, once the batch can be read.
   * When an answer is missing, or a marker, the producer is re-initialised, which ends the transaction one way or the
   * other, and the progress topic tells which. Throws PRODUCER_FENCED when a newer daemon took over, and the last failure when the batch could not be
   * published for so long that the session had better be opened afresh; it may then be committed all the same.
   */
  async publish(batch: PublishableBatch, schemas: readonly TableSchema[] = []): Promise<Progress> {
    const fresh = this.#unwrittenSchemas(batch.events, schemas);
    // One for the whole batch: steps that succeed in between don't make it published.
    const absence = new Absence(this.#options.patienceMs);
    let stored: Progress | null = null;
    for (let attempts = 0; stored === null; attempts++) {
      if (attempts > 1) {
        await sleep(TRY_AGAIN_MS);
      }
      try {
        stored = await this.#attempt(batch, fresh);
      } catch (error) {
        if (!(error instanceof AmbiguousOutcome) || !absence.bears(error)) {
          throw error;
        }
        failpoint("publisher.ambiguous");
        await throughAbsence(() => this.#reinitialise(batch, fresh), absence);
        failpoint("publisher.reinitialised");
        stored = await throughAbsence(() => this.#readBack(batch, fresh), absence);
        failpoint("publisher.read-back");
      }
    }
    for (const { schema } of fresh) {
      this.#writtenSchemas.add(schema);
    }
    this.#progress = stored;
    this.#stored = stored;
    return stored;
  }

  async #reinitialise(batch: PublishableBatch, fresh: readonly TableSchema[]): Promise<void> {
    const places = [...this.#placesOf(batch, fresh), { topic: this.#options.progressTopic, partition: 0 }];
    await initialiseAndSettle(
      this.#own,
      () => this.#producer.reinitialise(),
      async () => ({ own: places, others: [] }),
    );
  }

  get #own(): OwnTopics {
    const { progressTopic, schemasTopic } = this.#options;
    const { notes } = this;
    return { connection: this.#connection, producer: this.#producer, progressTopic, schemasTopic, notes };
  }

  /** Where the batch writes, but for the progress record. */
  #placesOf(batch: PublishableBatch, fresh: readonly TableSchema[]): TopicPartition[] {
    const schemas = fresh.length > 0 ? [{ topic: this.#options.schemasTopic, partition: 0 }] : [];
    return [...placesOf(groupByPartition(batch.events)), ...schemas];
  }

  /** The stored progress when the batch turned out to be committed, null when it was not. */
  async #readBack(batch: PublishableBatch, fresh: readonly TableSchema[]): Promise<Progress | null> {
    const { progressTopic, transactionTimeoutMs } = this.#options;
    this.#progressEnd = await waitUntilNoOpenTransaction(this.#connection, progressTopic, transactionTimeoutMs);
    await waitUntilNothingHeld(this.#connection, this.#placesOf(batch, fresh), transactionTimeoutMs);
    const stored = await readProgress(this.#connection, progressTopic);
    const before = this.#progress;
    const unchanged = isSameRecord(stored, this.#stored);
    if (unchanged) {
      return null;
    }
    if (
      stored !== null &&
      stored.epoch === before.epoch &&
      stored.firstSequence === before.sequence + 1 &&
      stored.endLsn >= before.endLsn
    ) {
      await checkWhole(this.#connection, stored, this.#options.schemasTopic);
      return stored;
    }
    // Another daemon may have taken over since this one was re-initialised: then it is the one to say how far it is.
    await this.#producer.reinitialise();
    throw new AfterimageError(
      "PROGRESS_FOREIGN",
      `The progress topic does not hold what this daemon wrote: sequence ${stored?.sequence ?? "none"} where ${before.sequence} or the batch after it was expected.`,
      "Another program writes to the stream's topics. Find and stop it, then start again; the position is checked first.",
    );
  }

  async #attempt(batch: PublishableBatch, fresh: readonly TableSchema[]): Promise<Progress> {
    const { progressTopic, schemasTopic } = this.#options;
    const events = groupByPartition(batch.events);
    const records: Records = new Map(events);
    if (fresh.length > 0) {
      const schemaRecords = fresh.map((schema) => ({ key: String(schema.schema), value: encodeSchema(schema) }));
      records.set(schemasTopic, new Map([[0, schemaRecords]]));
    }
    const partitions = placesOf(records);
    try {
      failpoint("publisher.before-begin");
      await this.#producer.begin([...partitions, { topic: progressTopic, partition: 0 }]);
      failpoint("publisher.partitions-added");
      const offsets: AppendedRecords = records.size === 0 ? new Map() : await this.#producer.produce(records);
      if (records.size > 0) {
        failpoint("publisher.events-produced");
      }
      const progress = {
        ...this.#next(batch, vectorOf(events, offsets)),
        schemaOffset: offsets.get(schemasTopic)?.get(0)?.lastOffset,
      };
      const record = { key: progress.stream, value: encodeProgress(progress) };
      const written = await this.#producer.produce(new Map([[progressTopic, new Map([[0, [record]]])]]));
      failpoint("publisher.progress-produced");
      const { baseOffset } = written.get(progressTopic)!.get(0)!;
      if (baseOffset !== this.#progressEnd) {
        throw progressMoved(progressTopic, this.#progressEnd, baseOffset);
      }
      await this.#producer.commit();
      failpoint("publisher.committed");
      await untilReadable(this.#own, lastsOf([offsets, written]));
      this.#progressEnd = baseOffset + 2n; // the record, and the marker that commits it
      return progress;
    } catch (error) {
      if (!(error instanceof AmbiguousOutcome)) {
        failpoint("publisher.refused");
        // The next holder's InitProducerId would end it too; an abort frees readers at once.
        await this.#producer.abort().catch(() => undefined);
      }
      throw error instanceof RecordTooLarge ? asPoison(error, batch.events) : error;
    }
  }

  #next(batch: PublishableBatch, partitions: Progress["partitions"]): Progress {
    const { sequence } = this.#progress;
    return {
      ...this.#progress,
      firstSequence: sequence + 1,
      sequence: batch.events.at(-1)?.sequence ?? sequence,
      completeSequence: batch.completeSequence,
      endLsn: batch.endLsn,
      last: batch.last,
      snapshot: batch.snapshot,
      partitions,
    };
  }

  #unwrittenSchemas(events: readonly EncodedEvent[], announced: readonly TableSchema[]): TableSchema[] {
    const fresh = new Map<number, TableSchema>();
    const add = (schema: TableSchema) => {
      if (!this.#writtenSchemas.has(schema.schema)) {
        fresh.set(schema.schema, schema);
      }
    };
    announced.forEach(add);
    for (const { encoder } of events) {
      if (encoder !== null) add(encoder.schema);
    }
    return [...fresh.values()].sort((a, b) => a.schema - b.schema);
  }
}

function isSameRecord(one: Progress | null, other: Progress | null): boolean {
  return one === null || other === null
    ? one === other
    : one.epoch === other.epoch && one.sequence === other.sequence && one.endLsn === other.endLsn;
}

/**
 * A leader that was stopped for long serves what it had then until it learns of its successor, so a position that was
 * read may be an old one; only what is written is certain to stand at the end.
 */
function progressMoved(topic: string, expected: bigint, found: bigint): AfterimageError {
  return new AfterimageError(
    "PROGRESS_MOVED",
    `Topic ${topic} ends at offset ${found}, not at ${expected} as when the stream's position was read: the broker that was asked lagged behind, or another program writes to this topic.`,
    "Nothing was published; the position is read again. Should it go on, find out who writes to the topic.",
  );
}
