// Transactions that a coordinator has ended and brokers have not: the marker never came to a partition, nor will it. It is
// written here in the coordinator's stead, as Kafka's own tool does (KIP-664, kafka-transactions.sh abort).
import type { KafkaConnection } from "./connection.ts";
import { Again, Deadline, untilAnswered, untilDeadline } from "./deadline.ts";
import { AmbiguousOutcome, NoReply, notReady, refused } from "./errors.ts";
import { ErrorCode, isLeaderError } from "./protocol/error-code.ts";
import { fetch } from "./protocol/fetch.ts";
import { describeProducers, type MarkedPartition, writeTransactionMarkers } from "./protocol/markers.ts";
import type { ProducerIdentity, TopicPartition } from "./protocol/transaction.ts";
import { readCommitted } from "./record-batch-reader.ts";

const TRY_AGAIN_MS = 50;

export interface HangingTransaction extends MarkedPartition {
  readonly openFrom: bigint;
}

/** Where of these the producer has something open. Throws TOPIC_MISSING, KAFKA_NOT_AUTHORIZED, KAFKA_NOT_READY or NoReply. */
export async function findOpen(
  connection: KafkaConnection,
  places: readonly TopicPartition[],
  producerId: bigint,
): Promise<HangingTransaction[]> {
  return untilAnswered(new Deadline(connection.requestTimeoutMs), async () => {
    const leaders = await connection.leadersOf(places);
    const replies = await Promise.all(
      [...leaders].map(([leader, led]) => connection.send(leader, describeProducers(led))),
    );
    const found: HangingTransaction[] = [];
    for (const { topic, partition, error, producers } of replies.flat()) {
      const resource = `topic ${topic} partition ${partition}`;
      if (isLeaderError(error)) {
        connection.forgetLeaders([{ topic, partition }]);
        return new Again(notReady(error, "DescribeProducers", resource), TRY_AGAIN_MS);
      }
      if (error !== ErrorCode.NONE) {
        throw refused(error, "DescribeProducers", resource);
      }
      const own = producers.find((producer) => producer.producerId === producerId && producer.openFrom >= 0n);
      if (own !== undefined) {
        found.push({ topic, partition, coordinatorEpoch: Math.max(own.coordinatorEpoch, 0), openFrom: own.openFrom });
      }
    }
    return found;
  });
}

/**
 * Writes the markers. Throws KAFKA_NOT_AUTHORIZED, or AmbiguousOutcome: then they may be written later, until a higher epoch
 * has written to the partition.
 */
export async function writeMarkers(
  connection: KafkaConnection,
  identity: ProducerIdentity,
  hanging: readonly HangingTransaction[],
  commit: boolean,
): Promise<void> {
  let open = hanging;
  try {
    await untilDeadline(new Deadline(connection.requestTimeoutMs), async () => {
      const leaders = await connection.leadersOf(open);
      const replies = await Promise.all(
        [...leaders].map(([leader, led]) => connection.send(leader, writeTransactionMarkers(identity, led, commit))),
      );
      let moved: Error | undefined;
      for (const { topic, partition, error } of replies.flat()) {
        const resource = `topic ${topic} partition ${partition}`;
        if (error === ErrorCode.NONE) {
          open = open.filter((place) => place.topic !== topic || place.partition !== partition);
        } else if (isLeaderError(error)) {
          connection.forgetLeaders([{ topic, partition }]);
          moved = notReady(error, "WriteTxnMarkers", resource);
        } else if (error === ErrorCode.CLUSTER_AUTHORIZATION_FAILED) {
          throw refused(error, "WriteTxnMarkers", "the cluster");
        } else {
          throw new AmbiguousOutcome("WriteTxnMarkers", refused(error, "WriteTxnMarkers", resource));
        }
      }
      return open.length === 0
        ? undefined
        : new Again(moved ?? new AmbiguousOutcome("WriteTxnMarkers", null), TRY_AGAIN_MS);
    });
  } catch (error) {
    throw error instanceof NoReply ? new AmbiguousOutcome("WriteTxnMarkers", error) : error;
  }
}

/** The value of the record at an offset, be its transaction open. Throws as `findOpen`, and OFFSET_OUT_OF_RANGE. */
export async function readOpen(
  connection: KafkaConnection,
  { topic, partition, openFrom }: TopicPartition & { readonly openFrom: bigint },
): Promise<string> {
  const limits = { maxWaitMs: 100, maxBytes: 1, maxBytesPerPartition: 1, uncommitted: true };
  const resource = `topic ${topic} partition ${partition}`;
  return untilAnswered(new Deadline(connection.requestTimeoutMs), async () => {
    const leader = await connection.leaderOf(topic, partition);
    const { partitions } = await connection.send(leader, fetch([{ topic, partition, offset: openFrom }], limits));
    const error = partitions[0]?.error ?? ErrorCode.LEADER_NOT_AVAILABLE;
    if (error !== ErrorCode.NONE && !isLeaderError(error)) {
      throw refused(error, "Fetch", resource);
    }
    const { records } = readCommitted(partitions[0]?.batches ?? Buffer.alloc(0), openFrom, [], { topic, partition });
    if (records[0]?.offset === openFrom) {
      return records[0].value?.toString("utf8") ?? "";
    }
    connection.forgetLeaders([{ topic, partition }]);
    return new Again(notReady(error, "Fetch", resource), TRY_AGAIN_MS);
  });
}
