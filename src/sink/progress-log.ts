// Reads back what the stream has published: the last progress record, and the schema records.
import { progressTopic } from "../event/identifier.ts";
import { type Progress, parseProgress } from "../event/progress.ts";
import { parseSchema, type TableSchema } from "../event/schema.ts";
import { fetchCommitted, readLastCommitted } from "../kafka/committed-reader.ts";
import type { KafkaConnection } from "../kafka/connection.ts";
import { Deadline } from "../kafka/deadline.ts";
import { notReady } from "../kafka/errors.ts";
import { fetchOffsets } from "../kafka/offsets.ts";
import { ErrorCode } from "../kafka/protocol/error-code.ts";
import { describeTopics } from "../kafka/topics.ts";

/** The record that tells how far the stream is; null when none was ever committed. */
export async function readProgress(connection: KafkaConnection, topic: string): Promise<Progress | null> {
  const record = await readLastCommitted(connection, topic, 0);
  return record === null || record.value === null ? null : parseProgress(record.value.toString("utf8"));
}

/** Whether the stream has ever been published. */
export async function holdsProgress(connection: KafkaConnection, stream: string): Promise<boolean> {
  const topic = progressTopic(stream);
  return (await describeTopics(connection, [topic])).has(topic) && (await readProgress(connection, topic)) !== null;
}

/**
 * Every schema record of the stream, in order. Throws KAFKA_NOT_READY when the broker gives nothing of what it says that
 * it has, for as long as a request may take.
 */
export async function readSchemas(connection: KafkaConnection, topic: string): Promise<TableSchema[]> {
  const schemas: TableSchema[] = [];
  for await (const json of valuesOf(connection, topic, false)) {
    schemas.push(parseSchema(json));
  }
  return schemas;
}

/**
 * Kafka's ids of the topics that schema records name, those that are open or were aborted included. What is no schema
 * record is passed over: `readSchemas` tells of it where it counts. Throws as `readSchemas`.
 */
export async function readTopicIds(connection: KafkaConnection, topic: string): Promise<Set<string>> {
  const ids = new Set<string>();
  for await (const json of valuesOf(connection, topic, true)) {
    try {
      ids.add(parseSchema(json).topicId);
    } catch {
      // As said above.
    }
  }
  return ids;
}

async function* valuesOf(connection: KafkaConnection, topic: string, uncommitted: boolean): AsyncGenerator<string> {
  const { earliest, lastStable, highWatermark } = await fetchOffsets(connection, topic, 0);
  const end = uncommitted ? highWatermark : lastStable;
  let offset = earliest;
  let patience = new Deadline(connection.requestTimeoutMs);
  while (offset < end) {
    const part = (await fetchCommitted(connection, topic, new Map([[0, offset]]), { uncommitted })).get(0);
    for (const { value } of part?.records ?? []) {
      if (value !== null) {
        yield value.toString("utf8");
      }
    }
    const next = part?.nextOffset ?? offset;
    if (next > offset) {
      patience = new Deadline(connection.requestTimeoutMs);
    } else if (patience.passed) {
      throw notReady(ErrorCode.OFFSET_NOT_AVAILABLE, "Fetch", `topic ${topic} offset ${offset}`);
    }
    offset = next;
  }
}

/** Whether records of the topic were deleted, by retention or by hand. */
export async function hasLostRecords(connection: KafkaConnection, topic: string): Promise<boolean> {
  const partitions = (await describeTopics(connection, [topic])).get(topic)?.partitions ?? 0;
  for (let partition = 0; partition < partitions; partition++) {
    if ((await fetchOffsets(connection, topic, partition)).earliest > 0n) {
      return true;
    }
  }
  return false;
}

/** Whether a read_committed reader would get any record of the topic; aborted records count in offsets, not here. */
export async function holdsCommittedRecord(connection: KafkaConnection, topic: string): Promise<boolean> {
  const partitions = (await describeTopics(connection, [topic])).get(topic)?.partitions ?? 0;
  for (let partition = 0; partition < partitions; partition++) {
    if ((await readLastCommitted(connection, topic, partition)) !== null) {
      return true;
    }
  }
  return false;
}
