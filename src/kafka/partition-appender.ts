// Appends records to partitions: finds their leaders, cuts requests, and settles each partition's answer.
import { setTimeout as sleep } from "node:timers/promises";
import { failpoint } from "../failpoint.ts";
import type { KafkaConnection } from "./connection.ts";
import { AmbiguousOutcome, NoReply, notReady, RecordTooLarge, refused } from "./errors.ts";
import { PartitionQueue } from "./partition-queue.ts";
import { ErrorCode, isLeaderError, isTransactionLost } from "./protocol/error-code.ts";
import { type ProduceReply, produce } from "./protocol/produce.ts";
import type { ProducerIdentity, TopicPartition } from "./protocol/transaction.ts";
import type { ProducerRecord } from "./record-batch.ts";
import { isUnknown } from "./transaction-coordinator.ts";

/** Below the broker's default message.max.bytes of 1,048,588; a topic that takes less is learned from its refusal. */
const BATCH_BYTES = 900_000;
const REQUEST_BYTES = 8_000_000;
/** A request above the broker's socket.request.max.bytes (100 MiB by default) only costs the connection. */
const LARGEST_BATCH = 100 * 1024 * 1024 - 64 * 1024;
const TRY_AGAIN_MS = 25;

export class PartitionAppender {
  readonly #connection: KafkaConnection;
  readonly #transactionalId: string;
  readonly #sequences = new Map<string, Map<number, number>>();
  readonly #batchLimits = new Map<string, number>();

  constructor(connection: KafkaConnection, transactionalId: string) {
    this.#connection = connection;
    this.#transactionalId = transactionalId;
  }

  /** A new epoch counts from 0 in every partition. */
  restartSequences(): void {
    this.#sequences.clear();
  }

  /** One queue for each partition that gets records. */
  queues(records: ReadonlyMap<string, ReadonlyMap<number, readonly ProducerRecord[]>>): PartitionQueue[] {
    const patienceMs = this.#connection.requestTimeoutMs;
    return [...records].flatMap(([topic, partitions]) =>
      [...partitions]
        .filter(([, members]) => members.length > 0)
        .map(([partition, members]) => {
          const sequence = this.#sequences.get(topic)?.get(partition) ?? 0;
          return new PartitionQueue({ topic, partition }, members, sequence, patienceMs);
        }),
    );
  }

  /**
   * Resolves when all is appended. After a failure the sequence numbers of these partitions are not certain:
   * `restartSequences` under a new epoch is the only way on.
   */
  async append(queues: readonly PartitionQueue[], identity: ProducerIdentity): Promise<void> {
    let open: readonly PartitionQueue[] = queues;
    for (let round = 0; open.length > 0; round++) {
      if (round > 0) {
        await sleep(TRY_AGAIN_MS);
      }
      const leaders = await this.#leadersOf(open);
      // All of them are waited for: a request that is still under way must not outlive the transaction.
      const outcomes = await Promise.allSettled(
        [...leaders].map(([leader, led]) => this.#appendTo(leader, led, identity)),
      );
      const failures = outcomes.filter((outcome) => outcome.status === "rejected").map(({ reason }) => reason);
      if (failures.length > 0) {
        throw failures.find((failure) => failure instanceof AmbiguousOutcome) ?? failures[0];
      }
      open = open.filter(({ done }) => !done);
    }
  }

  async #leadersOf(queues: readonly PartitionQueue[]): Promise<Map<number, PartitionQueue[]>> {
    try {
      return await this.#connection.leadersOf(queues);
    } catch (error) {
      throw isUnknown(error) ? new AmbiguousOutcome("Produce", error) : error;
    }
  }

  /** Sends one request after the other until these partitions are done or have to be looked for elsewhere. */
  async #appendTo(leader: number, queues: readonly PartitionQueue[], identity: ProducerIdentity): Promise<void> {
    let here = [...queues];
    while (here.length > 0) {
      const sending = this.#fillRequest(here, identity);
      const batches = sending.map((queue) => queue.batch(this.#batchLimit(queue.topic), identity));
      let replies: ProduceReply[];
      try {
        const patience = Math.ceil(this.#connection.requestTimeoutMs * 0.75);
        failpoint("appender.before-produce");
        replies = await this.#connection.send(leader, produce(this.#transactionalId, patience, batches));
        failpoint("appender.produced");
      } catch (error) {
        if (error instanceof NoReply && !error.sent && sending.every(({ deadline }) => !deadline.passed)) {
          return;
        }
        throw error instanceof NoReply ? new AmbiguousOutcome("Produce", error) : error;
      }
      const moved = new Set<PartitionQueue>();
      let pause = false;
      for (const queue of sending) {
        const outcome = this.#settle(
          queue,
          replies.find((reply) => isSamePlace(reply, queue)),
        );
        if (outcome === "elsewhere") {
          moved.add(queue);
        }
        pause ||= outcome === "later";
      }
      this.#connection.forgetLeaders([...moved]);
      here = here.filter((queue) => !queue.done && !moved.has(queue));
      if (pause) {
        await sleep(TRY_AGAIN_MS);
      }
    }
  }

  /** As many partitions as fit one request, at least one. */
  #fillRequest(queues: readonly PartitionQueue[], identity: ProducerIdentity): PartitionQueue[] {
    let bytes = 0;
    const chosen: PartitionQueue[] = [];
    for (const queue of queues) {
      bytes += queue.batch(this.#batchLimit(queue.topic), identity).bytes;
      if (chosen.length > 0 && bytes > REQUEST_BYTES) {
        break;
      }
      if (queue.batchBytes > LARGEST_BATCH) {
        throw new RecordTooLarge(queue, queue.batchBytes, queue.nextRecord);
      }
      chosen.push(queue);
    }
    return chosen;
  }

  #settle(queue: PartitionQueue, reply: ProduceReply | undefined): "accepted" | "later" | "elsewhere" {
    const error = reply?.error ?? ErrorCode.UNKNOWN_SERVER_ERROR;
    const resource = `topic ${queue.topic} partition ${queue.partition}`;
    const known = error === ErrorCode.DUPLICATE_SEQUENCE_NUMBER && reply!.baseOffset >= 0n;
    if (error === ErrorCode.NONE || known) {
      queue.accepted(reply!.baseOffset);
      this.#sequences.set(
        queue.topic,
        (this.#sequences.get(queue.topic) ?? new Map()).set(queue.partition, queue.sequence),
      );
      return "accepted";
    }
    if (error === ErrorCode.MESSAGE_TOO_LARGE || error === ErrorCode.RECORD_LIST_TOO_LARGE) {
      if (queue.batchLength === 1) {
        throw new RecordTooLarge(queue, queue.batchBytes, queue.nextRecord);
      }
      this.#batchLimits.set(queue.topic, Math.min(this.#batchLimit(queue.topic), Math.floor(queue.batchBytes / 2)));
      queue.recut();
      return "accepted";
    }
    if (isTransactionLost(error) || isSequenceLost(error)) {
      throw new AmbiguousOutcome("Produce", refused(error, "Produce", resource));
    }
    const elsewhere = isLeaderError(error);
    if (!elsewhere && !isPassing(error)) {
      throw refused(error, "Produce", resource);
    }
    if (queue.deadline.passed) {
      throw new AmbiguousOutcome("Produce", notReady(error, "Produce", resource));
    }
    return elsewhere ? "elsewhere" : "later";
  }

  #batchLimit(topic: string): number {
    return this.#batchLimits.get(topic) ?? BATCH_BYTES;
  }
}

/** The broker's and our idea of the partition's sequence differ, or it can't tell what it did. */
function isSequenceLost(error: number): boolean {
  return (
    error === ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER ||
    error === ErrorCode.DUPLICATE_SEQUENCE_NUMBER ||
    error === ErrorCode.UNKNOWN_SERVER_ERROR
  );
}

/** Worth sending the same batch again: should it have been appended, the broker knows it by its sequence. */
function isPassing(error: number): boolean {
  return (
    error === ErrorCode.REQUEST_TIMED_OUT ||
    error === ErrorCode.NOT_ENOUGH_REPLICAS ||
    error === ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND ||
    error === ErrorCode.CONCURRENT_TRANSACTIONS ||
    error === ErrorCode.CORRUPT_MESSAGE
  );
}

function isSamePlace(a: TopicPartition, b: TopicPartition): boolean {
  return a.topic === b.topic && a.partition === b.partition;
}
