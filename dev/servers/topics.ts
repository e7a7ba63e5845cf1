// Reading and deleting topics through kafkajs's ordinary clients: a judgement that does not rest on src/kafka.
import { type ITopicConfig, Kafka, logLevel } from "kafkajs";
import { unique } from "./database.ts";
import { settledTransactions } from "./settled.ts";
import { waitFor } from "./wait-for.ts";

export interface TopicRecord {
  readonly partition: number;
  readonly offset: bigint;
  readonly key: string | null;
  readonly value: string | null;
  /** Milliseconds since 1970, as the broker gives it. */
  readonly timestamp: number;
}

/** kafkajs's client, silent. */
export function kafkaClient(brokers: string[]): Kafka {
  return new Kafka({ clientId: "afterimage-dev", brokers, logLevel: logLevel.NOTHING, retry: { retries: 8 } });
}

/** Names of the topics that start with the prefix. */
export async function listTopics(brokers: string[], prefix: string): Promise<string[]> {
  const admin = kafkaClient(brokers).admin();
  await admin.connect();
  try {
    return (await admin.listTopics()).filter((topic) => topic.startsWith(prefix)).sort();
  } finally {
    await admin.disconnect();
  }
}

/** null for an answer that says to ask again: kafkajs gives up where leaders have moved, and its error names no cure. */
function nullWhileUnready<T>(asked: Promise<T>): Promise<T | null> {
  return asked.catch((error) => {
    if ((error.retriable || error.cause?.retriable) !== true) throw error;
    return null;
  });
}

/** Makes those that are missing, and waits until the broker that is asked knows their leaders. */
export async function makeTopics(brokers: string[], topics: ITopicConfig[]): Promise<void> {
  const admin = kafkaClient(brokers).admin();
  await admin.connect();
  try {
    // kafkajs's own way to wait takes the answer of a broker that has not heard of the topic yet for an error.
    await admin.createTopics({ topics, waitForLeaders: false });
    const names = topics.map(({ topic }) => topic);
    await waitFor(
      async () => {
        const known = await nullWhileUnready(admin.fetchTopicMetadata({ topics: names }));
        return known?.topics.every(({ partitions }) => partitions.every(({ leader }) => leader >= 0));
      },
      { what: `the leaders of ${names.join(", ")}` },
    );
  } finally {
    await admin.disconnect();
  }
}

/** Deletes every topic that starts with the prefix; a stream's are all with `${stream}.`. */
export function deleteTopics(brokers: string[], prefix: string): Promise<void> {
  return remove(brokers, (topic) => topic.startsWith(prefix));
}

/** Deletes those topics. */
export function removeTopics(brokers: string[], names: Iterable<string>): Promise<void> {
  const own = new Set(names);
  return remove(brokers, (topic) => own.has(topic));
}

/** Until no broker that is asked lists one: it may list those that the controller has deleted a moment ago. */
async function remove(brokers: string[], isWanted: (topic: string) => boolean): Promise<void> {
  const admin = kafkaClient(brokers).admin();
  await admin.connect();
  try {
    await waitFor(
      async () => {
        const topics = (await admin.listTopics()).filter(isWanted);
        if (topics.length === 0) return true;
        await admin.deleteTopics({ topics, timeout: 20_000 }).catch((error) => {
          if ((error.type ?? error.cause?.type) !== "UNKNOWN_TOPIC_OR_PARTITION") throw error;
        });
        return false;
      },
      { what: "the topics to be gone" },
    );
  } finally {
    await admin.disconnect();
  }
}

/**
 * Every record that the topic holds now, in the order of partition and offset. By default only what is committed
 * (read_committed) below the first open transaction; control records are never among them.
 */
export async function readTopic(
  brokers: string[],
  topic: string,
  { readCommitted = true, timeout = 60_000 }: { readCommitted?: boolean; timeout?: number } = {},
): Promise<TopicRecord[]> {
  const kafka = kafkaClient(brokers);
  const admin = kafka.admin();
  await admin.connect();
  try {
    if (readCommitted) await settledTransactions(brokers, timeout);
    // kafkajs asks for the last stable offset and calls it "high".
    const offsets = await waitFor(() => nullWhileUnready(admin.fetchTopicOffsets(topic)), {
      what: `the ends of ${topic}`,
      timeout,
    });
    const ends = new Map(
      offsets
        .filter(({ low, high }) => BigInt(high) > BigInt(low))
        .map(({ partition, high }) => [partition, BigInt(high)]),
    );
    if (ends.size === 0) return [];
    const groupId = unique("read");
    const records = await readUntil(kafka, { topic, ends, groupId, readUncommitted: !readCommitted, timeout });
    await admin.deleteGroups([groupId]);
    return records.sort((a, b) => a.partition - b.partition || Number(a.offset - b.offset));
  } finally {
    await admin.disconnect();
  }
}

interface Reading {
  topic: string;
  /** The partitions that hold records, and where each ends. */
  ends: Map<number, bigint>;
  groupId: string;
  readUncommitted: boolean;
  timeout: number;
}

async function readUntil(kafka: Kafka, { topic, ends, groupId, readUncommitted, timeout }: Reading) {
  // By place: a consumer that starts again, or joins its group again, reads from the beginning once more.
  const records = new Map<string, TopicRecord>();
  // All that is wanted is there: a fetch that waits for more only holds up the end, since it can't be called off.
  const consumer = kafka.consumer({ groupId, readUncommitted, maxWaitTimeInMs: 10 });
  let crash: Error | undefined;
  consumer.on(consumer.events.CRASH, ({ payload }) => {
    if (!payload.restart) crash = payload.error; // else it starts again by itself
  });
  // A batch may end in records that are aborted or control records: only its last offset tells how far it read.
  consumer.on(consumer.events.END_BATCH_PROCESS, ({ payload }) => {
    if (BigInt(payload.lastOffset) + 1n >= (ends.get(payload.partition) ?? 0n)) ends.delete(payload.partition);
  });
  try {
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    await consumer.run({
      autoCommit: false,
      eachBatch: async ({ batch }) => {
        for (const message of batch.messages) {
          records.set(`${batch.partition} ${message.offset}`, {
            partition: batch.partition,
            offset: BigInt(message.offset),
            key: message.key?.toString() ?? null,
            value: message.value?.toString() ?? null,
            timestamp: Number(message.timestamp),
          });
        }
      },
    });
    await waitFor(
      () => {
        if (crash) throw crash;
        return ends.size === 0;
      },
      { what: `the end of ${topic}`, timeout },
    );
    return [...records.values()];
  } finally {
    await consumer.disconnect();
  }
}
