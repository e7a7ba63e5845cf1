// What this client may do, asked without doing any of it: a broker looks at rights before it looks at anything else.
// https://kafka.apache.org/documentation/#operations_resources_and_protocols
import type { KafkaConnection } from "./connection.ts";
import { Deadline, untilAnswered } from "./deadline.ts";
import { ErrorCode } from "./protocol/error-code.ts";
import { fetch } from "./protocol/fetch.ts";
import { metadata } from "./protocol/metadata.ts";
import { createTopics, describeTopicConfig, type NewTopic } from "./protocol/topics.ts";
import { addPartitionsToTransaction, endTransaction, type ProducerIdentity } from "./protocol/transaction.ts";

export type TopicRight = "Read" | "Write" | "Create" | "Describe" | "DescribeConfigs";

/** Numbers of `org.apache.kafka.common.acl.AclOperation`. */
const OPERATION = { Read: 3, Write: 4, Describe: 8, DescribeConfigs: 10 } as const;

/** No producer has it, so no transaction is ever touched. */
const NOBODY: ProducerIdentity = { producerId: 0x7fff_ffff_ffff_ffffn, producerEpoch: 0 };

export interface TopicRights {
  readonly name: string;
  /** The rights that are known to be missing; of a topic that is not there yet, all but Describe are known. */
  readonly missing: readonly TopicRight[];
  /** Why the broker would not make it, though it may be made. */
  readonly refused: { readonly error: number; readonly message: string | null } | null;
}

/** Whether the client may write with this transactional id. Fences nobody. Throws NoReply. */
export async function mayWriteTransactions(connection: KafkaConnection, transactionalId: string): Promise<boolean> {
  const { error } = await asked(connection, () => connection.sendToAny(endTransaction(transactionalId, NOBODY, false)));
  return error !== ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
}

/**
 * The rights on topics that are or would be written. `transactionalId` is one that the client may write with: else
 * nothing is known of Write on topics that aren't there. Throws NoReply.
 */
export async function topicRights(
  connection: KafkaConnection,
  transactionalId: string,
  topics: readonly NewTopic[],
): Promise<TopicRights[]> {
  if (topics.length === 0) return [];
  const names = topics.map(({ name }) => name);
  const { topics: found } = await asked(connection, () => connection.sendToAny(metadata(names, { operations: true })));
  const errorOf = new Map(found.map(({ name, error }) => [name, error]));
  const missing = new Map<string, Set<TopicRight>>(names.map((name) => [name, new Set()]));
  for (const { name, error, operations } of found) {
    if (error === ErrorCode.TOPIC_AUTHORIZATION_FAILED) missing.get(name)?.add("Describe");
    if (error !== ErrorCode.NONE) continue;
    for (const [right, bit] of Object.entries(OPERATION) as [TopicRight, number][]) {
      if ((operations & (1 << bit)) === 0) missing.get(name)?.add(right);
    }
  }
  const absent = topics.filter(({ name }) => errorOf.get(name) !== ErrorCode.NONE);
  const refusals = await rightsOnAbsent(connection, transactionalId, absent, missing);
  return names.map((name) => ({ name, missing: [...missing.get(name)!], refused: refusals.get(name) ?? null }));
}

async function rightsOnAbsent(
  connection: KafkaConnection,
  transactionalId: string,
  absent: readonly NewTopic[],
  missing: ReadonlyMap<string, Set<TopicRight>>,
): Promise<ReadonlyMap<string, { error: number; message: string | null }>> {
  const refusals = new Map<string, { error: number; message: string | null }>();
  const [first] = absent;
  if (first === undefined) return refusals;
  const denied = (error: number) => error === ErrorCode.TOPIC_AUTHORIZATION_FAILED;
  const made = await asked(connection, () =>
    connection.sendToAny(createTopics(absent, connection.requestTimeoutMs, { validateOnly: true })),
  );
  for (const { name, error, message } of made) {
    if (denied(error) || error === ErrorCode.CLUSTER_AUTHORIZATION_FAILED) missing.get(name)?.add("Create");
    if (CAN_T_BE_MADE.has(error)) refusals.set(name, { error, message });
  }
  const places = absent.map(({ name }) => ({ topic: name, partition: 0 }));
  const added = await asked(connection, () =>
    connection.sendToAny(addPartitionsToTransaction(transactionalId, NOBODY, places)),
  );
  for (const { topic, error } of added) if (denied(error)) missing.get(topic)?.add("Write");
  const limits = { maxWaitMs: 0, maxBytes: 1, maxBytesPerPartition: 1 };
  const read = await asked(connection, () =>
    connection.sendToAny(
      fetch(
        places.map((place) => ({ ...place, offset: 0n })),
        limits,
      ),
    ),
  );
  for (const { topic, error } of read.partitions) if (denied(error)) missing.get(topic)?.add("Read");
  // One stands for all: its answer holds no topic's name.
  const { error } = await asked(connection, () => connection.sendToAny(describeTopicConfig(first.name)));
  if (denied(error)) missing.get(first.name)?.add("DescribeConfigs");
  return refusals;
}

/** Answers of CreateTopics that the settings bring about, and that no waiting mends. */
const CAN_T_BE_MADE: ReadonlySet<number> = new Set([
  ErrorCode.INVALID_REPLICATION_FACTOR,
  ErrorCode.INVALID_PARTITIONS,
  ErrorCode.INVALID_CONFIG,
  ErrorCode.POLICY_VIOLATION,
]);

function asked<T>(connection: KafkaConnection, attempt: () => Promise<T>): Promise<T> {
  return untilAnswered(new Deadline(connection.requestTimeoutMs), attempt);
}
