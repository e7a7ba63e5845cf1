// Where a partition's log begins and ends.
import type { KafkaConnection } from "./connection.ts";
import { Again, Deadline, untilAnswered } from "./deadline.ts";
import { notReady, refused } from "./errors.ts";
import { ErrorCode, isLeaderError } from "./protocol/error-code.ts";
import { listOffsets, type OffsetKind } from "./protocol/fetch.ts";
import type { TopicPartition } from "./protocol/transaction.ts";

export interface PartitionOffsets {
  readonly earliest: bigint;
  /** The offset of the first record of an open transaction, or the high watermark when there is none. */
  readonly lastStable: bigint;
  /** The offset the next record gets. */
  readonly highWatermark: bigint;
}

/** Throws TOPIC_MISSING, KAFKA_NOT_AUTHORIZED, KAFKA_NOT_READY or NoReply. */
export async function fetchOffsets(
  connection: KafkaConnection,
  topic: string,
  partition: number,
): Promise<PartitionOffsets> {
  const place = { topic, partition };
  // The last stable offset is asked for first: read after it, a high watermark equal to it proves that no
  // transaction was open in between.
  const lastStable = await fetchOffset(connection, place, "lastStable");
  const [earliest, highWatermark] = await Promise.all([
    fetchOffset(connection, place, "earliest"),
    fetchOffset(connection, place, "highWatermark"),
  ]);
  return { earliest, lastStable, highWatermark };
}

function fetchOffset(connection: KafkaConnection, place: TopicPartition, kind: OffsetKind): Promise<bigint> {
  const resource = `topic ${place.topic} partition ${place.partition}`;
  return untilAnswered(new Deadline(connection.requestTimeoutMs), async () => {
    const leader = await connection.leaderOf(place.topic, place.partition);
    const [reply] = await connection.send(leader, listOffsets([place], kind));
    if (reply?.error === ErrorCode.NONE) {
      return reply.offset;
    }
    const error = reply?.error ?? ErrorCode.UNKNOWN_SERVER_ERROR;
    if (!isLeaderError(error)) {
      throw refused(error, "ListOffsets", resource);
    }
    connection.forgetLeaders([place]);
    return new Again(notReady(error, "ListOffsets", resource), 50);
  });
}
