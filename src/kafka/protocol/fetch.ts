// Fetch and ListOffsets: reading a log and asking where it begins and ends.
// https://kafka.apache.org/protocol.html#The_Messages_Fetch and #The_Messages_ListOffsets
import type { AbortedTransaction } from "../record-batch-reader.ts";
import type { KafkaRequest } from "./request.ts";
import type { TopicPartition } from "./transaction.ts";

export interface FetchPosition extends TopicPartition {
  readonly offset: bigint;
}

export interface FetchLimits {
  readonly maxWaitMs: number;
  readonly maxBytes: number;
  readonly maxBytesPerPartition: number;
  /** Also what is open or aborted. */
  readonly uncommitted?: boolean;
}

export interface FetchReply extends TopicPartition {
  readonly error: number;
  readonly highWatermark: bigint;
  readonly lastStableOffset: bigint;
  readonly aborted: readonly AbortedTransaction[];
  /** Record batches, the last one perhaps cut short. */
  readonly batches: Buffer;
}

const CONSUMER = -1;
const NO_LEADER_EPOCH = -1;
const READ_COMMITTED = 1;
const READ_UNCOMMITTED = 0;

/** Version 11, without a fetch session. */
export function fetch(
  positions: readonly FetchPosition[],
  limits: FetchLimits,
): KafkaRequest<{ error: number; partitions: FetchReply[] }> {
  const topics = Map.groupBy(positions, ({ topic }) => topic);
  return {
    apiKey: 1,
    name: "Fetch",
    version: 11,
    flexible: false,
    waitMs: limits.maxWaitMs,
    write(writer) {
      writer.int32(CONSUMER);
      writer.int32(limits.maxWaitMs);
      writer.int32(1); // min bytes
      writer.int32(limits.maxBytes);
      writer.int8(limits.uncommitted ? READ_UNCOMMITTED : READ_COMMITTED);
      writer.int32(0); // session id
      writer.int32(-1); // session epoch: no session
      writer.array([...topics], ([topic, members]) => {
        writer.string(topic);
        writer.array(members, ({ partition, offset }) => {
          writer.int32(partition);
          writer.int32(NO_LEADER_EPOCH);
          writer.int64(offset);
          writer.int64(-1n); // log start offset: for followers
          writer.int32(limits.maxBytesPerPartition);
        });
      });
      writer.int32(0); // forgotten topics
      writer.string(""); // rack id
    },
    read(reader) {
      reader.int32(); // throttle time
      const error = reader.int16();
      reader.int32(); // session id
      const partitions = reader
        .array(() => {
          const topic = reader.string()!;
          return reader.array((): FetchReply => {
            const partition = reader.int32();
            const partitionError = reader.int16();
            const highWatermark = reader.int64();
            const lastStableOffset = reader.int64();
            reader.int64(); // log start offset
            const aborted = reader.array(() => ({ producerId: reader.int64(), firstOffset: reader.int64() }));
            reader.int32(); // preferred read replica
            const batches = reader.bytes();
            return { topic, partition, error: partitionError, highWatermark, lastStableOffset, aborted, batches };
          });
        })
        .flat();
      return { error, partitions };
    },
  };
}

export type OffsetKind = "earliest" | "lastStable" | "highWatermark";

/** Version 3: one offset of each partition. */
export function listOffsets(
  partitions: readonly TopicPartition[],
  kind: OffsetKind,
): KafkaRequest<(TopicPartition & { error: number; offset: bigint })[]> {
  const topics = Map.groupBy(partitions, ({ topic }) => topic);
  return {
    apiKey: 2,
    name: "ListOffsets",
    version: 3,
    flexible: false,
    write(writer) {
      writer.int32(CONSUMER);
      writer.int8(kind === "lastStable" ? READ_COMMITTED : READ_UNCOMMITTED);
      writer.array([...topics], ([topic, members]) => {
        writer.string(topic);
        writer.array(members, ({ partition }) => {
          writer.int32(partition);
          writer.int64(kind === "earliest" ? -2n : -1n);
        });
      });
    },
    read(reader) {
      reader.int32(); // throttle time
      return reader
        .array(() => {
          const topic = reader.string()!;
          return reader.array(() => {
            const partition = reader.int32();
            const error = reader.int16();
            reader.int64(); // timestamp
            return { topic, partition, error, offset: reader.int64() };
          });
        })
        .flat();
    },
  };
}
