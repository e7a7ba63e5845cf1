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

/** Of a partition, where its first open transaction begins. */
export interface HeldPartition extends TopicPartition {
  readonly lastStable: bigint;
}

/** Those of the partitions in which a transaction is open now. Throws as `fetchOffsets`. */
export async function findHeld(
  connection: KafkaConnection,
  places: readonly TopicPartition[],
): Promise<HeldPartition[]> {
  // In this order, for the reason above.
  const stable = await fetchEach(connection, places, "lastStable");
  const ends = await fetchEach(connection, places, "highWatermark");
  return stable
    .filter(({ offset }, at) => offset !== ends[at]!.offset)
    .map(({ offset, ...place }) => ({ ...place, lastStable: offset }));
}

/** Of a partition, the last offset that was written there. */
export interface WrittenPartition extends TopicPartition {
  readonly lastOffset: bigint;
}

/** Those of the partitions whose last stable offset has not passed the given one. Throws as `fetchOffsets`. */
export async function findBelowStable(
  connection: KafkaConnection,
  written: readonly WrittenPartition[],
): Promise<WrittenPartition[]> {
  const stable = await fetchEach(connection, written, "lastStable");
  return written.filter(({ lastOffset }, at) => stable[at]!.offset <= lastOffset);
}

/** In the order of the places, with one request to each leader. */
async function fetchEach(
  connection: KafkaConnection,
  places: readonly TopicPartition[],
  kind: OffsetKind,
): Promise<(TopicPartition & { offset: bigint })[]> {
  const found = new Map<string, bigint>();
  const keyOf = ({ topic, partition }: TopicPartition) => `${topic}/${partition}`;
  return untilAnswered(new Deadline(connection.requestTimeoutMs), async () => {
    const missing = places.filter((place) => !found.has(keyOf(place)));
    const leaders = await connection.leadersOf(missing);
    const replies = await Promise.all(
      [...leaders].map(([leader, led]) => connection.send(leader, listOffsets(led, kind))),
    );
    const byPlace = new Map(replies.flat().map((reply) => [keyOf(reply), reply]));
    let moved: Error | undefined;
    for (const place of missing) {
      const { error, offset } = byPlace.get(keyOf(place)) ?? { error: ErrorCode.UNKNOWN_SERVER_ERROR, offset: 0n };
      const resource = `topic ${place.topic} partition ${place.partition}`;
      if (error === ErrorCode.NONE) {
        found.set(keyOf(place), offset);
      } else if (isLeaderError(error)) {
        connection.forgetLeaders([place]);
        moved = notReady(error, "ListOffsets", resource);
      } else {
        throw refused(error, "ListOffsets", resource);
      }
    }
    return moved === undefined
      ? places.map((place) => ({ ...place, offset: found.get(keyOf(place))! }))
      : new Again(moved, 50);
  });
}

async function fetchOffset(connection: KafkaConnection, place: TopicPartition, kind: OffsetKind): Promise<bigint> {
  return (await fetchEach(connection, [place], kind))[0]!.offset;
}
