// What a producer has open in partitions, and the records there that read_committed readers don't get (yet).
import { AfterimageError } from "../errors.ts";
import { fetchPartitions } from "./committed-reader.ts";
import type { KafkaConnection } from "./connection.ts";
import { Again, Deadline, untilAnswered } from "./deadline.ts";
import { notReady, refused } from "./errors.ts";
import { ErrorCode, isLeaderError } from "./protocol/error-code.ts";
import { type FetchPosition, fetch } from "./protocol/fetch.ts";
import { describeProducers } from "./protocol/open-transactions.ts";
import type { TopicPartition } from "./protocol/transaction.ts";
import { readCommitted } from "./record-batch-reader.ts";

const TRY_AGAIN_MS = 50;

export interface OpenPartition extends TopicPartition {
  /** First offset of the open transaction. */
  readonly openFrom: bigint;
}

/**
 * Where of these the producer has a transaction open, by the partitions' own account. Throws TOPIC_MISSING,
 * KAFKA_NOT_AUTHORIZED, KAFKA_NOT_READY or NoReply.
 */
export async function findOpenOf(
  connection: KafkaConnection,
  producerId: bigint,
  places: readonly TopicPartition[],
): Promise<OpenPartition[]> {
  return untilAnswered(new Deadline(connection.requestTimeoutMs), async () => {
    const leaders = await connection.leadersOf(places);
    const replies = await Promise.all(
      [...leaders].map(([leader, led]) => connection.send(leader, describeProducers(led))),
    );
    const found: OpenPartition[] = [];
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
        found.push({ topic, partition, openFrom: own.openFrom });
      }
    }
    return found;
  });
}

/** The value of the record at an offset, be its transaction open. Throws as `findOpenOf`, and OFFSET_OUT_OF_RANGE. */
export async function readUncommitted(
  connection: KafkaConnection,
  { topic, partition, offset }: FetchPosition,
): Promise<string> {
  const limits = { maxWaitMs: 100, maxBytes: 1, maxBytesPerPartition: 1, uncommitted: true };
  const resource = `topic ${topic} partition ${partition}`;
  return untilAnswered(new Deadline(connection.requestTimeoutMs), async () => {
    const leader = await connection.leaderOf(topic, partition);
    const { partitions } = await connection.send(leader, fetch([{ topic, partition, offset }], limits));
    const error = partitions[0]?.error ?? ErrorCode.LEADER_NOT_AVAILABLE;
    if (error !== ErrorCode.NONE && !isLeaderError(error)) {
      throw refused(error, "Fetch", resource);
    }
    const { records } = readCommitted(partitions[0]?.batches ?? Buffer.alloc(0), offset, [], { topic, partition });
    if (records[0]?.offset === offset) {
      return records[0].value?.toString("utf8") ?? "";
    }
    connection.forgetLeaders([{ topic, partition }]);
    return new Again(notReady(error, "Fetch", resource), TRY_AGAIN_MS);
  });
}

/** `hidden`: an open transaction before it keeps readers away; `gone`: the topic, or this offset, is not there any more. */
export type Fate = "committed" | "aborted" | "hidden" | "gone";

/**
 * What became of the records that were written to these offsets, in this order. Throws KAFKA_NOT_AUTHORIZED,
 * KAFKA_NOT_READY or NoReply.
 */
export async function fatesOf(connection: KafkaConnection, positions: readonly FetchPosition[]): Promise<Fate[]> {
  try {
    return await fatesOfKept(connection, positions);
  } catch (error) {
    if (!(error instanceof AfterimageError && GONE.has(error.code))) {
      throw error;
    }
    return positions.length === 1
      ? ["gone"]
      : (await Promise.all(positions.map((position) => fatesOf(connection, [position])))).flat();
  }
}

const GONE = new Set(["TOPIC_MISSING", "OFFSET_OUT_OF_RANGE"]);

async function fatesOfKept(connection: KafkaConnection, positions: readonly FetchPosition[]): Promise<Fate[]> {
  const fates = new Map<FetchPosition, Fate>();
  return untilAnswered(new Deadline(connection.requestTimeoutMs), async () => {
    const left = positions.filter((position) => !fates.has(position));
    if (left.length === 0) {
      return positions.map((position) => fates.get(position)!);
    }
    const fetched = await fetchPartitions(connection, left, { maxWaitMs: 0, maxBytesPerPartition: 1 });
    for (const position of left) {
      const { topic, partition, offset } = position;
      const found = fetched.find((one) => one.topic === topic && one.partition === partition);
      if (found?.records.some((record) => record.offset === offset)) {
        fates.set(position, "committed");
      } else if (found !== undefined && found.nextOffset > offset) {
        fates.set(position, "aborted");
      } else if (found !== undefined && found.lastStableOffset <= offset) {
        fates.set(position, "hidden");
      }
    }
    const { topic, partition } = left.find((position) => !fates.has(position)) ?? left[0]!;
    const late = notReady(ErrorCode.OFFSET_NOT_AVAILABLE, "Fetch", `topic ${topic} partition ${partition}`);
    return new Again(late, left.some((position) => fates.has(position)) ? 0 : TRY_AGAIN_MS);
  });
}
