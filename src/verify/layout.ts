// What there is to verify: the progress record to verify up to, every recorded shape, every topic of the stream and
// where each partition begins and ends. Topics are found by the ids in the schema records, so a changed configuration
// or a topic of the same name made later can't mislead.
import { AfterimageError } from "../errors.ts";
import { messagesTopic, parseTableName, progressTopic, schemasTopic, tableTopic } from "../event/identifier.ts";
import { type Progress, parseProgress } from "../event/progress.ts";
import type { TableSchema } from "../event/schema.ts";
import { readLastCommitted } from "../kafka/committed-reader.ts";
import type { KafkaConnection } from "../kafka/connection.ts";
import { fetchOffsets } from "../kafka/offsets.ts";
import { describeTopics, listTopicNames, topicConfig } from "../kafka/topics.ts";
import { readSchemas } from "../sink/progress-log.ts";
import type { Findings } from "./finding.ts";

export interface Target {
  readonly progress: Progress;
  /** Of its record in the progress topic. */
  readonly offset: bigint;
}

export interface StreamTopic {
  readonly name: string;
  /** Null for the topic of messages. */
  readonly table: string | null;
  readonly partitions: number;
  /** Records in its middle may be gone. */
  readonly compacted: boolean;
}

export interface Layout {
  /** Every recorded version of every table, by id. */
  readonly schemas: ReadonlyMap<number, TableSchema>;
  readonly topics: readonly StreamTopic[];
}

/** For a finding's place. */
export const tableOf = ({ table }: Pick<StreamTopic, "table">): { table?: string } => (table === null ? {} : { table });

/** The record that was committed last. Throws VERIFY_NOTHING when the stream was never published. */
export async function readTarget(connection: KafkaConnection, stream: string): Promise<Target> {
  const topic = progressTopic(stream);
  const known = (await describeTopics(connection, [topic])).has(topic);
  const record = known ? await readLastCommitted(connection, topic, 0) : null;
  if (record === null || record.value === null) {
    throw new AfterimageError(
      "VERIFY_NOTHING",
      known
        ? `Topic ${topic} holds no progress record: stream ${stream} was never published.`
        : `There is no topic ${topic}: stream ${stream} was never published to these brokers, or this user may not see it.`,
      "Check the stream's name and kafka.brokers; the client needs the right to describe and read the stream's topics.",
    );
  }
  return { progress: parseProgress(record.value.toString("utf8")), offset: record.offset };
}

/** Read after the target, so that whatever the target's events refer to is in it. */
export async function readLayout(
  connection: KafkaConnection,
  { stream, messagesTopicId }: Pick<Progress, "stream" | "messagesTopicId">,
  findings: Findings,
): Promise<Layout> {
  const schemas = await readSchemas(connection, schemasTopic(stream));
  const described = await describeTopics(connection, await listTopicNames(connection));
  const byId = new Map([...described.values()].map((topic) => [topic.id, topic]));
  const topics = new Map<string, StreamTopic>();
  const recorded = schemas.map(({ table, topicId }) => {
    const { schema, table: name } = parseTableName(table);
    return { table: table as string | null, topicId, expected: tableTopic(stream, schema, name) };
  });
  if (messagesTopicId !== undefined) {
    recorded.push({ table: null, topicId: messagesTopicId, expected: messagesTopic(stream) });
  }
  for (const { table, topicId, expected } of recorded) {
    const found = byId.get(topicId);
    if (found !== undefined) {
      topics.set(found.name, { name: found.name, table, partitions: found.partitions, compacted: false });
      continue;
    }
    const why = described.has(expected) ? "was deleted and made again" : "is gone, or this user may not see it";
    const what = `The topic of ${table ?? "messages"} (id ${topicId}) ${why}.`;
    findings.addOnce("TOPIC_LOST", what, { ...tableOf({ table }), topic: expected });
    const again = described.get(expected);
    if (again !== undefined) {
      topics.set(expected, { name: expected, table, partitions: again.partitions, compacted: false });
    }
  }
  const found = await Promise.all(
    [...topics.values()].map(async (topic) => ({ ...topic, compacted: await isCompacted(connection, topic.name) })),
  );
  return { schemas: new Map(schemas.map((schema) => [schema.schema, schema])), topics: found };
}

async function isCompacted(connection: KafkaConnection, topic: string): Promise<boolean> {
  try {
    return ((await topicConfig(connection, topic)).get("cleanup.policy") ?? "").includes("compact");
  } catch (error) {
    // Settings need a right of their own. Without it a gap counts as one, which is the safe mistake.
    if (error instanceof AfterimageError && error.code === "KAFKA_NOT_AUTHORIZED") {
      return false;
    }
    throw error;
  }
}

export interface PartitionBounds {
  readonly topic: StreamTopic;
  readonly partition: number;
  readonly earliest: bigint;
  /** Everything that the target accounts for lies below. */
  readonly end: bigint;
}

/**
 * Asked after the target was read: its Kafka transaction had written all its records by then, so they lie below the
 * high watermarks, even where the marker that commits them is not written yet.
 */
export async function readBounds(
  connection: KafkaConnection,
  topics: readonly StreamTopic[],
): Promise<PartitionBounds[]> {
  const places = topics.flatMap((topic) =>
    Array.from({ length: topic.partitions }, (_, partition) => ({ topic, partition })),
  );
  const bounds: PartitionBounds[] = [];
  // So many questions at a time as not to open a connection for each.
  for (let at = 0; at < places.length; at += 16) {
    const some = places.slice(at, at + 16).map(async ({ topic, partition }) => {
      const { earliest, highWatermark } = await fetchOffsets(connection, topic.name, partition);
      return { topic, partition, earliest, end: highWatermark };
    });
    bounds.push(...(await Promise.all(some)));
  }
  return bounds;
}
