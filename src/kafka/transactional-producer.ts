// Publishes record batches in Kafka transactions (transaction version 1: AddPartitionsToTxn, Produce, EndTxn).
// A reply with an error is knowledge and handled in place; no reply is AmbiguousOutcome, after which only
// reinitialise() leads on. https://cwiki.apache.org/confluence/display/KAFKA/KIP-98
import { AfterimageError } from "../errors.ts";
import { failpoint } from "../failpoint.ts";
import type { KafkaConnection } from "./connection.ts";
import { AmbiguousOutcome } from "./errors.ts";
import { findOpenOf, type OpenPartition } from "./open-transactions.ts";
import { PartitionAppender } from "./partition-appender.ts";
import type { DescribedTransaction } from "./protocol/open-transactions.ts";
import { NO_IDENTITY, type ProducerIdentity, type TopicPartition } from "./protocol/transaction.ts";
import type { ProducerRecord } from "./record-batch.ts";
import { TransactionCoordinator } from "./transaction-coordinator.ts";

export type { ProducerRecord } from "./record-batch.ts";

export interface AppendedOffsets {
  /** Of the first record. */
  readonly baseOffset: bigint;
  /** Of the last record. */
  readonly lastOffset: bigint;
}

/**
 * `fresh` before the first takeOver; `open` inside a transaction; `refused` after a refusal in it: what else was under
 * way may have been appended, so its sequence numbers are not certain; `unknown` after an AmbiguousOutcome.
 */
type State = "fresh" | "ready" | "open" | "refused" | "unknown";

/** `transaction.max.timeout.ms` where nobody has changed it. */
const LONGEST_TIMEOUT_MS = 900_000;

export class TransactionalProducer {
  readonly #connection: KafkaConnection;
  readonly #coordinator: TransactionCoordinator;
  readonly #appender: PartitionAppender;
  readonly #begun = new Map<string, Set<number>>();
  #identity: ProducerIdentity = NO_IDENTITY;
  #state: State = "fresh";

  constructor(connection: KafkaConnection, options: { transactionalId: string; transactionTimeoutMs: number }) {
    this.#connection = connection;
    this.#appender = new PartitionAppender(connection, options.transactionalId);
    this.#coordinator = new TransactionCoordinator(connection, options.transactionalId, options.transactionTimeoutMs);
  }

  /** Fences whoever held the transactional id and ends its open transaction. */
  async takeOver(): Promise<void> {
    await this.#initialise(NO_IDENTITY);
  }

  /** After AmbiguousOutcome: ends what may still be open. PRODUCER_FENCED: another producer has taken over. */
  async reinitialise(): Promise<void> {
    if (this.#state === "fresh") {
      throw new TypeError("reinitialise() needs the identity that takeOver() gets");
    }
    await this.#initialise(this.#identity);
  }

  /** Begins a transaction on these partitions, or adds them to the one that is open. */
  async begin(partitions: readonly TopicPartition[]): Promise<void> {
    this.#demandKnownState("begin");
    const added = partitions.filter(({ topic, partition }) => !this.#begun.get(topic)?.has(partition));
    if (added.length === 0) {
      return;
    }
    await this.#orUnknown(this.#coordinator.addPartitions(this.#identity, added));
    this.#state = "open";
    for (const { topic, partition } of added) {
      this.#begun.set(topic, (this.#begun.get(topic) ?? new Set()).add(partition));
    }
  }

  /**
   * Appends records, in order per partition and to all in-sync replicas, to the open transaction; partitions that
   * were not begun are added. Throws AmbiguousOutcome; or RECORD_TOO_LARGE, TOPIC_MISSING, KAFKA_NOT_AUTHORIZED and
   * other refusals, after which the transaction can be aborted.
   */
  async produce(
    records: ReadonlyMap<string, ReadonlyMap<number, readonly ProducerRecord[]>>,
  ): Promise<Map<string, Map<number, AppendedOffsets>>> {
    const queues = this.#appender.queues(records);
    await this.begin(queues);
    await this.#orUnknown(this.#appender.append(queues, this.#identity));
    const appended = new Map<string, Map<number, AppendedOffsets>>();
    for (const { topic, partition, offsets } of queues) {
      appended.set(topic, (appended.get(topic) ?? new Map()).set(partition, offsets));
    }
    return appended;
  }

  /** Throws AmbiguousOutcome. */
  async commit(): Promise<void> {
    await this.#end(true);
  }

  /** Throws AmbiguousOutcome; after a refusal also what `reinitialise` throws. */
  async abort(): Promise<void> {
    if (this.#state === "refused") {
      // A new epoch starts the sequence numbers anew: an old number could make the broker take new records for
      // repeated ones.
      await this.#initialise(this.#identity);
      return;
    }
    await this.#end(false);
  }

  /**
   * The transaction that is open under the transactional id, be it another producer's; to be asked before takeOver or
   * reinitialise, which abort it. Throws KAFKA_NOT_AUTHORIZED, KAFKA_NOT_READY or NoReply.
   */
  ongoing(): Promise<DescribedTransaction | null> {
    return this.#coordinator.ongoing();
  }

  /** Commits what `ongoing` told, be it another producer's. Throws AmbiguousOutcome, also when it is over or fenced. */
  async commitOngoing({ producerId, producerEpoch }: DescribedTransaction): Promise<void> {
    await this.#coordinator.end({ producerId, producerEpoch }, true);
  }

  /** Where of these something is open under this producer's id. Throws as `findOpenOf`. */
  findOpen(places: readonly TopicPartition[]): Promise<OpenPartition[]> {
    return findOpenOf(this.#connection, this.#identity.producerId, places);
  }

  /**
   * Ends what earlier transactions of this producer's id have left open in these partitions, by a transaction without
   * records: its marker ends whatever the id has open there. A commit that is interrupted before it is decided is to be
   * found by `ongoing`, for as long as the broker lets transactions be. `reinitialise` has to follow, so that no other
   * transaction has the same epoch. Throws AmbiguousOutcome and what `begin` and `reinitialise` throw.
   */
  async endOpen(places: readonly TopicPartition[], commit: boolean): Promise<void> {
    if (commit) {
      try {
        await this.#initialise(this.#identity, LONGEST_TIMEOUT_MS);
      } catch (error) {
        if (!(error instanceof AfterimageError && error.code === "KAFKA_TRANSACTION_TIMEOUT_REFUSED")) {
          throw error;
        }
        await this.#initialise(this.#identity);
      }
    }
    await this.begin(places);
    await this.#end(commit);
  }

  async #initialise(identity: ProducerIdentity, transactionTimeoutMs?: number): Promise<void> {
    if (this.#state !== "fresh") {
      this.#state = "unknown";
    }
    this.#identity = await this.#coordinator.initialise(identity, transactionTimeoutMs);
    failpoint("producer.initialised");
    this.#state = "ready";
    this.#begun.clear();
    this.#appender.restartSequences();
  }

  async #end(commit: boolean): Promise<void> {
    this.#demandKnownState(commit ? "commit" : "abort");
    if (this.#state === "ready") {
      return; // the coordinator knows of no transaction
    }
    failpoint("producer.before-end");
    await this.#orUnknown(this.#coordinator.end(this.#identity, commit));
    this.#state = "ready";
    this.#begun.clear();
  }

  #demandKnownState(step: string): void {
    switch (this.#state) {
      case "ready":
      case "open":
        return;
      case "unknown":
        throw new AmbiguousOutcome("an earlier step", undefined);
      case "fresh":
        throw new TypeError(`${step}() before takeOver()`);
      case "refused":
        throw new TypeError(`${step}() after a refusal: the transaction can only be aborted`);
      default:
        throw this.#state satisfies never;
    }
  }

  async #orUnknown<T>(step: Promise<T>): Promise<T> {
    try {
      return await step;
    } catch (error) {
      this.#state = error instanceof AmbiguousOutcome ? "unknown" : "refused";
      throw error;
    }
  }
}
