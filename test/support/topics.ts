// Reading and deleting topics through kafkajs's ordinary clients: a judgement that does not rest on src/kafka.
import type { Kafka } from "kafkajs";
import { inject } from "vitest";
import { kafkaClient as clientOf } from "../../dev/servers/topics.ts";

export {
  deleteTopics,
  listTopics,
  makeTopics,
  readTopic,
  removeTopics,
  type TopicRecord,
} from "../../dev/servers/topics.ts";

/** kafkajs's client, silent; of the run's own brokers by default. */
export function kafkaClient(brokers: string[] = inject("brokers")): Kafka {
  return clientOf(brokers);
}

/** `host:port` of each broker of the run's own cluster, as they name themselves. */
export async function ownBrokers(): Promise<string[]> {
  const admin = kafkaClient().admin();
  await admin.connect();
  try {
    return (await admin.describeCluster()).brokers.map(({ host, port }) => `${host}:${port}`);
  } finally {
    await admin.disconnect();
  }
}
