// Topics: what there is, making and removing them. Asking about a topic never creates it.
import type { KafkaConnection } from "./connection.ts";
import { Again, Deadline, untilAnswered } from "./deadline.ts";
import { notReady, refused } from "./errors.ts";
import { ErrorCode, isLeaderError } from "./protocol/error-code.ts";
import {
  createTopics,
  deleteTopics as deleteTopicsRequest,
  describeBrokerConfig,
  describeTopicConfig,
  type NewTopic,
} from "./protocol/topics.ts";

export type { NewTopic } from "./protocol/topics.ts";

export interface TopicDescription {
  readonly name: string;
  /** The topic's UUID as Kafka's tools print it (base64url). A topic that was made again has another one. */
  readonly id: string;
  /** How many. */
  readonly partitions: number;
  /** Brokers that hold the partition that the fewest hold. */
  readonly replicas: number;
}

const LOOK_AGAIN_MS = 50;

/** The topics that exist among `names`. Throws KAFKA_NOT_AUTHORIZED, KAFKA_NOT_READY or NoReply. */
export async function describeTopics(
  connection: KafkaConnection,
  names: readonly string[],
): Promise<Map<string, TopicDescription>> {
  if (names.length === 0) {
    return new Map();
  }
  return untilAnswered(new Deadline(connection.requestTimeoutMs), async () => {
    const { topics } = await connection.metadata(names);
    const found = new Map<string, TopicDescription>();
    for (const { error, name, id, partitions } of topics) {
      if (error === ErrorCode.NONE) {
        const replicas = Math.min(...partitions.map((partition) => partition.replicas));
        found.set(name, { name, id, partitions: partitions.length, replicas });
      } else if (error === ErrorCode.LEADER_NOT_AVAILABLE) {
        return new Again(notReady(error, "Metadata", `topic ${name}`), LOOK_AGAIN_MS);
      } else if (error !== ErrorCode.UNKNOWN_TOPIC_OR_PARTITION && error !== ErrorCode.INVALID_TOPIC_EXCEPTION) {
        throw refused(error, "Metadata", `topic ${name}`);
      }
    }
    return found;
  });
}

/** All topics that this client may see. */
export async function listTopicNames(connection: KafkaConnection): Promise<string[]> {
  const { topics } = await untilAnswered(new Deadline(connection.requestTimeoutMs), () => connection.metadata(null));
  return topics.map(({ name }) => name);
}

/**
 * Creates a topic and waits until all its partitions have a leader. One that exists already is left as it is.
 * Throws TOPIC_REFUSED, KAFKA_NOT_AUTHORIZED, KAFKA_NOT_READY or NoReply.
 */
export async function createTopic(connection: KafkaConnection, topic: NewTopic): Promise<void> {
  const resource = `topic ${topic.name}`;
  await onController(connection, "CreateTopics", resource, async (controller) => {
    const [reply] = await connection.send(controller, createTopics([topic], connection.requestTimeoutMs));
    const error = reply?.error ?? ErrorCode.UNKNOWN_SERVER_ERROR;
    return error === ErrorCode.TOPIC_ALREADY_EXISTS ? ErrorCode.NONE : error;
  });
  await untilAnswered(new Deadline(connection.requestTimeoutMs), async () => {
    const { topics } = await connection.metadata([topic.name]);
    const found = topics[0];
    const error = found?.error ?? ErrorCode.UNKNOWN_TOPIC_OR_PARTITION;
    if (error !== ErrorCode.NONE && !isLeaderError(error)) {
      throw refused(error, "Metadata", resource);
    }
    const leaderless = error !== ErrorCode.NONE || found!.partitions.some(({ leader }) => leader < 0);
    return leaderless
      ? new Again(notReady(error || ErrorCode.LEADER_NOT_AVAILABLE, "Metadata", resource), LOOK_AGAIN_MS)
      : undefined;
  });
}

/** All settings of a topic, defaults included. Throws TOPIC_MISSING, KAFKA_NOT_AUTHORIZED or NoReply. */
export async function topicConfig(connection: KafkaConnection, name: string): Promise<Map<string, string>> {
  const { error, configs } = await untilAnswered(new Deadline(connection.requestTimeoutMs), () =>
    connection.sendToAny(describeTopicConfig(name)),
  );
  if (error !== ErrorCode.NONE) {
    throw refused(error, "DescribeConfigs", `topic ${name}`);
  }
  return configs;
}

/** All settings of each broker by its id; null where the client may not ask. Throws KAFKA_REFUSED or NoReply. */
export async function brokerConfigs(connection: KafkaConnection): Promise<Map<number, Map<string, string>> | null> {
  const deadline = new Deadline(connection.requestTimeoutMs);
  const { brokers } = await untilAnswered(deadline, () => connection.metadata([]));
  const found = new Map<number, Map<string, string>>();
  for (const { nodeId } of brokers) {
    const { error, configs } = await untilAnswered(deadline, () =>
      connection.send(nodeId, describeBrokerConfig(nodeId)),
    );
    if (error === ErrorCode.CLUSTER_AUTHORIZATION_FAILED) return null;
    if (error !== ErrorCode.NONE) throw refused(error, "DescribeConfigs", `broker ${nodeId}`);
    found.set(nodeId, configs);
  }
  return found;
}

/** Removes topics; each may already be gone. Throws KAFKA_NOT_AUTHORIZED, KAFKA_NOT_READY or NoReply. */
export async function deleteTopics(connection: KafkaConnection, names: readonly string[]): Promise<void> {
  for (const name of names) {
    await onController(connection, "DeleteTopics", `topic ${name}`, async (controller) => {
      const [reply] = await connection.send(controller, deleteTopicsRequest([name], connection.requestTimeoutMs));
      const error = reply?.error ?? ErrorCode.UNKNOWN_SERVER_ERROR;
      return error === ErrorCode.UNKNOWN_TOPIC_OR_PARTITION ? ErrorCode.NONE : error;
    });
  }
}

async function onController(
  connection: KafkaConnection,
  doing: string,
  resource: string,
  send: (controller: number) => Promise<number>,
): Promise<void> {
  await untilAnswered(new Deadline(connection.requestTimeoutMs), async () => {
    const { controllerId } = await connection.metadata([]);
    const error = controllerId < 0 ? ErrorCode.NOT_CONTROLLER : await send(controllerId);
    switch (error) {
      case ErrorCode.NONE:
        return undefined;
      case ErrorCode.NOT_CONTROLLER:
      case ErrorCode.REQUEST_TIMED_OUT:
      case ErrorCode.THROTTLING_QUOTA_EXCEEDED:
        return new Again(notReady(error, doing, resource), LOOK_AGAIN_MS);
      default:
        throw refused(error, doing, resource);
    }
  });
}
