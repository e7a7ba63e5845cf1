// What the consumer needs of Kafka: topics as they are, and committed records from a given offset on.
import type { StreamRecord } from "./partition-queue.ts";

export interface TopicDescription {
  readonly id: string;
  readonly partitions: number;
}

export interface FetchPosition {
  readonly topic: string;
  readonly partition: number;
  readonly offset: bigint;
}

export interface FetchedPartition {
  readonly topic: string;
  readonly partition: number;
  readonly records: readonly StreamRecord[];
  /** After the last record, aborted and control records included. */
  readonly nextOffset: bigint;
  readonly lastStableOffset: bigint;
}

export interface LogReader {
  /** Topics that do not exist are absent; none is ever created. */
  describe(topics: readonly string[]): Promise<ReadonlyMap<string, TopicDescription>>;
  /** Waits up to `maxWaitMs` for records. An offset outside the log is an error, never moved. */
  fetch(positions: readonly FetchPosition[], maxWaitMs: number): Promise<readonly FetchedPartition[]>;
  /** First offset that the partition still holds. */
  earliestOffset(topic: string, partition: number): Promise<bigint>;
  close(): Promise<void>;
}
