// How far a consumer is, for its users: computed from the queues when asked for.
import type { AdoptedTable } from "./topic-watch.ts";

/** `waiting`: for a topic that does not exist yet. `disconnected`: Kafka does not answer; tried again without end. */
export type ConsumerState = "starting" | "waiting" | "catching up" | "live" | "disconnected" | "stopped" | "failed";

export interface PartitionPosition {
  readonly topic: string;
  readonly partition: number;
  /** Offset of the first record that is not applied. */
  readonly offset: bigint;
  /** Sequence of the last event applied; 0 before the first. */
  readonly sequence: number;
  /** Offsets between here and the end of what is committed; null until the partition was asked once. */
  readonly lag: number | null;
}

export interface ConsumerPosition {
  readonly state: ConsumerState;
  /** The highest sequence in the view; 0 before the first event. */
  readonly sequence: number;
  /** Commit time of that event: ISO 8601, microseconds, UTC; null before the first. */
  readonly timestamp: string | null;
  /** Offsets still to be read, all partitions together; null until all were asked once. */
  readonly lag: number | null;
  /** 0 when nothing is left to read, else the age of `timestamp`; null when that is not known. */
  readonly lagSeconds: number | null;
  /** Topics that do not exist yet. */
  readonly waitingFor: readonly string[];
  readonly partitions: readonly PartitionPosition[];
}

export function positionOf(
  state: ConsumerState,
  tables: readonly Pick<AdoptedTable<never>, "queues">[],
  waitingFor: readonly string[],
): ConsumerPosition {
  const queues = tables.flatMap((table) => table.queues);
  const partitions = queues.map(({ topic, partition, stored, reachedOffset, lastStableOffset }) => ({
    topic,
    partition,
    offset: reachedOffset,
    sequence: stored.sequence,
    lag: lastStableOffset === null ? null : Math.max(0, Number(lastStableOffset - reachedOffset)),
  }));
  const newest = queues.reduce<{ sequence: number; timestamp: string | null }>(
    (best, { stored }) => (stored.sequence > best.sequence ? stored : best),
    { sequence: 0, timestamp: null },
  );
  const lag = sumOrNull(partitions.map((partition) => partition.lag));
  return {
    state,
    sequence: newest.sequence,
    timestamp: newest.timestamp,
    lag,
    lagSeconds: lag === 0 ? 0 : secondsSince(newest.timestamp),
    waitingFor,
    partitions,
  };
}

function secondsSince(timestamp: string | null): number | null {
  return timestamp === null ? null : Math.max(0, (Date.now() - Date.parse(timestamp)) / 1000);
}

function sumOrNull(numbers: readonly (number | null)[]): number | null {
  return numbers.reduce((sum, number) => (sum === null || number === null ? null : sum + number), 0);
}
