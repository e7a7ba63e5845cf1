// The record of `<stream>.progress`: written in the same Kafka transaction as the events it accounts for.
import { AfterimageError } from "../errors.ts";
import { formatLsn, type Lsn, parseLsn } from "./lsn.ts";
import { parseSnapshotField, type SnapshotState, snapshotField } from "./snapshot-state.ts";

/** The source transaction whose event was published last. */
export interface LastTransaction {
  readonly commitLsn: Lsn;
  readonly xid: string;
  readonly timestamp: string;
  /** Index of the event published last. */
  readonly index: number;
  /**
   * While it is not complete: the event's message, as an ordinal among those of the transaction that can be events (rows of
   * any table, truncates, transactional messages), and how many events of that message follow, when any do. Undefined in
   * records of versions that did not keep it.
   */
  readonly message?: number | undefined;
  readonly rest?: number | undefined;
  /** False while later events of the transaction are still to be published. */
  readonly complete: boolean;
}

export interface PartitionPosition {
  readonly sequence: number;
  readonly offset: bigint;
}

/** Topic to partition to what was last written there by the batch: the commit vector. */
export type CommitVector = ReadonlyMap<string, ReadonlyMap<number, PartitionPosition>>;

export interface Progress {
  readonly stream: string;
  readonly epoch: number;
  /** `sequence + 1` in a record without events. */
  readonly firstSequence: number;
  /** The last sequence published; 0 before the first. */
  readonly sequence: number;
  /** The last sequence of the last source transaction that is published whole. */
  readonly completeSequence: number;
  /** Everything that ends at or below it is published. */
  readonly endLsn: Lsn;
  readonly last: LastTransaction | null;
  /** pg_control's system identifier. */
  readonly systemId: string;
  readonly timeline: number;
  /** OID of the database. */
  readonly database: number;
  readonly slot: string;
  /** OID of the publication. */
  readonly publication: number;
  /**
   * `xmin` of the publication's row: ALTER PUBLICATION … SET leaves another one. Undefined in records of versions that
   * did not keep it.
   */
  readonly publicationXmin?: number | undefined;
  /** What came into the database by replication is not in the stream; absent where it is. */
  readonly origin?: "none" | undefined;
  /** Kafka's id of the topic of messages; undefined until the first start that publishes some. */
  readonly messagesTopicId?: string | undefined;
  /** Hash of all that changes pgoutput's output for the same WAL; compared only inside a half-published transaction. */
  readonly resume: string;
  readonly partitions: CommitVector;
  /** Offset of the last schema record that the batch wrote; undefined when it wrote none. */
  readonly schemaOffset?: bigint | undefined;
  /** Snapshots that are under way. */
  readonly snapshot: SnapshotState;
}

/** The JSON of a progress record, fields in one fixed order, without spaces. */
export function encodeProgress(progress: Progress): string {
  const partitions: Record<string, Record<string, { sequence: number; offset: number }>> = {};
  for (const [topic, positions] of progress.partitions) {
    partitions[topic] = Object.fromEntries(
      [...positions].map(([partition, { sequence, offset }]) => [partition, { sequence, offset: Number(offset) }]),
    );
  }
  const { last } = progress;
  return JSON.stringify({
    v: 1,
    stream: progress.stream,
    epoch: progress.epoch,
    firstSequence: progress.firstSequence,
    sequence: progress.sequence,
    completeSequence: progress.completeSequence,
    endLsn: formatLsn(progress.endLsn),
    last: last && {
      commitLsn: formatLsn(last.commitLsn),
      xid: last.xid,
      timestamp: last.timestamp,
      index: last.index,
      message: last.message,
      rest: last.rest,
      complete: last.complete,
    },
    systemId: progress.systemId,
    timeline: progress.timeline,
    database: progress.database,
    slot: progress.slot,
    publication: progress.publication,
    publicationXmin: progress.publicationXmin,
    origin: progress.origin,
    messagesTopicId: progress.messagesTopicId,
    resume: progress.resume,
    partitions,
    schemaOffset: progress.schemaOffset === undefined ? undefined : Number(progress.schemaOffset),
    snapshot: snapshotField(progress.snapshot),
  });
}

/**
 * Reads a progress record. Throws PROGRESS_VERSION_UNKNOWN for a version this reader does not know and
 * PROGRESS_FOREIGN for anything that is no progress record.
 */
export function parseProgress(json: string): Progress {
  let version: unknown;
  try {
    const record = JSON.parse(json);
    version = record.v;
    if (version === 1) {
      return toProgress(record);
    }
  } catch {
    // The parser's message quotes the text: it is left out.
    version = undefined;
  }
  if (version === undefined) {
    throw new AfterimageError(
      "PROGRESS_FOREIGN",
      "The last record of the progress topic is not one of afterimage's: the stream's position is not known.",
      "Another program writes to the stream's topics. Find and stop it, then rebuild the stream: afterimage drop STREAM --topics, then start.",
    );
  }
  throw new AfterimageError(
    "PROGRESS_VERSION_UNKNOWN",
    `A progress record has version ${JSON.stringify(version)}; this program knows version 1.`,
    "Use the version of afterimage-cdc that wrote the stream, or a later one.",
  );
}

// biome-ignore lint/suspicious/noExplicitAny: JSON of the form that encodeProgress writes
function toProgress({ v: _, snapshot, schemaOffset, ...record }: any): Progress {
  return {
    ...record,
    snapshot: parseSnapshotField(snapshot),
    ...(schemaOffset === undefined ? {} : { schemaOffset: BigInt(schemaOffset) }),
    endLsn: parseLsn(record.endLsn),
    last: record.last && { ...record.last, commitLsn: parseLsn(record.last.commitLsn) },
    partitions: new Map(
      Object.entries(record.partitions as Record<string, Record<string, { sequence: number; offset: number }>>).map(
        ([topic, positions]) => [
          topic,
          new Map(
            Object.entries(positions).map(([partition, { sequence, offset }]) => [
              Number(partition),
              { sequence, offset: BigInt(offset) },
            ]),
          ),
        ],
      ),
    ),
  };
}
