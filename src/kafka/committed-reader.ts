// Reads committed records from explicit partitions: no group, no automatic reset of offsets, no open or aborted
// transactions (isolation level read_committed).
import type { KafkaConnection } from "./connection.ts";
import { Again, Deadline, untilAnswered } from "./deadline.ts";
import { notReady, refused } from "./errors.ts";
import { fetchOffsets } from "./offsets.ts";
import { ErrorCode, isLeaderError } from "./protocol/error-code.ts";
import { type FetchPosition, type FetchReply, fetch } from "./protocol/fetch.ts";
import { type CommittedRecord, readCommitted } from "./record-batch-reader.ts";

export type { FetchPosition } from "./protocol/fetch.ts";
export type { CommittedRecord } from "./record-batch-reader.ts";

export interface FetchedPartition {
  readonly topic: string;
  readonly partition: number;
  readonly records: readonly CommittedRecord[];
  /** Where to read on: past control records and aborted ones. Equal to `lastStableOffset` at the end. */
  readonly nextOffset: bigint;
  readonly lastStableOffset: bigint;
  readonly highWatermark: bigint;
}

export interface FetchOptions {
  /** 1 MiB by default; a single larger record batch still comes whole. */
  readonly maxBytesPerPartition?: number;
  /** Of one reply; 50 MiB by default. */
  readonly maxBytes?: number;
  /** How long a broker may wait when nothing new is there; 500 ms by default. */
  readonly maxWaitMs?: number;
  /** Also what is open or was aborted, which nobody else may take for read. */
  readonly uncommitted?: boolean;
}

/**
 * Reads once from each position, in its order; a partition whose leader has just moved is simply absent from the
 * result. Throws OFFSET_OUT_OF_RANGE (below the log's start or beyond its end), TOPIC_MISSING,
 * KAFKA_NOT_AUTHORIZED, KAFKA_NOT_READY, KAFKA_COMPRESSION_UNSUPPORTED, KAFKA_RECORD_CORRUPT or NoReply.
 */
export async function fetchPartitions(
  connection: KafkaConnection,
  positions: readonly FetchPosition[],
  options: FetchOptions = {},
): Promise<FetchedPartition[]> {
  const limits = {
    maxWaitMs: options.maxWaitMs ?? 500,
    maxBytes: options.maxBytes ?? 50 * 1024 * 1024,
    maxBytesPerPartition: options.maxBytesPerPartition ?? 1024 * 1024,
    uncommitted: options.uncommitted ?? false,
  };
  return untilAnswered(new Deadline(connection.requestTimeoutMs), async () => {
    const leaders = await connection.leadersOf(positions);
    const replies = await Promise.all(
      [...leaders].map(async ([leader, led]) => {
        const { error, partitions } = await connection.send(leader, fetch(led, limits));
        if (error !== ErrorCode.NONE) {
          throw refused(error, "Fetch", `broker ${leader}`);
        }
        return partitions;
      }),
    );
    const byPlace = new Map(replies.flat().map((reply) => [placeKey(reply), reply]));
    const fetched: FetchedPartition[] = [];
    let moved: Error | undefined;
    for (const position of positions) {
      const reply = byPlace.get(placeKey(position));
      const error = reply?.error ?? ErrorCode.LEADER_NOT_AVAILABLE;
      if (error === ErrorCode.NONE) {
        fetched.push(read(position, reply!));
      } else if (isLeaderError(error)) {
        connection.forgetLeaders([position]);
        moved = notReady(error, "Fetch", resourceOf(position));
      } else {
        throw refused(error, "Fetch", `${resourceOf(position)} offset ${position.offset}`);
      }
    }
    return fetched.length === 0 && moved !== undefined ? new Again(moved, 50) : fetched;
  });
}

/** `fetchPartitions` of one topic: partition to offset in, partition to result out. */
export async function fetchCommitted(
  connection: KafkaConnection,
  topic: string,
  partitions: ReadonlyMap<number, bigint>,
  options?: FetchOptions,
): Promise<Map<number, FetchedPartition>> {
  const positions = [...partitions].map(([partition, offset]) => ({ topic, partition, offset }));
  const fetched = await fetchPartitions(connection, positions, options);
  return new Map(fetched.map((result) => [result.partition, result]));
}

/**
 * The last committed record below the last stable offset, searched backwards in growing steps, since the last
 * offsets may be control records and aborted ones. Null when there is none.
 */
export async function readLastCommitted(
  connection: KafkaConnection,
  topic: string,
  partition: number,
): Promise<CommittedRecord | null> {
  const { earliest, lastStable } = await fetchOffsets(connection, topic, partition);
  let end = lastStable;
  for (let step = 16n; end > earliest; step *= 8n) {
    const start = end - step > earliest ? end - step : earliest;
    const last = await lastBetween(connection, { topic, partition, offset: start }, end);
    if (last !== null) {
      return last;
    }
    end = start;
  }
  return null;
}

async function lastBetween(
  connection: KafkaConnection,
  start: FetchPosition,
  end: bigint,
): Promise<CommittedRecord | null> {
  let last: CommittedRecord | null = null;
  let position = start;
  while (position.offset < end) {
    const deadline = new Deadline(connection.requestTimeoutMs);
    // A broker that has just become leader may not serve yet what was stable before.
    const { records, nextOffset } = await untilAnswered(deadline, async () => {
      const [fetched] = await fetchPartitions(connection, [position], { maxWaitMs: 100 });
      return fetched === undefined || fetched.nextOffset === position.offset
        ? new Again(notReady(ErrorCode.OFFSET_NOT_AVAILABLE, "Fetch", resourceOf(position)), 0)
        : fetched;
    });
    last = records.findLast(({ offset }) => offset < end) ?? last;
    position = { ...position, offset: nextOffset };
  }
  return last;
}

function read(position: FetchPosition, reply: FetchReply): FetchedPartition {
  const { topic, partition } = position;
  const { records, nextOffset } = readCommitted(reply.batches, position.offset, reply.aborted, position);
  return {
    topic,
    partition,
    records,
    nextOffset,
    lastStableOffset: reply.lastStableOffset,
    highWatermark: reply.highWatermark,
  };
}

const placeKey = ({ topic, partition }: { topic: string; partition: number }): string => `${partition} ${topic}`;
const resourceOf = ({ topic, partition }: FetchPosition): string => `topic ${topic} partition ${partition}`;
