// The stream's topics: named, checked against what the broker has, and created with the design's policies.
import { setTimeout as sleep } from "node:timers/promises";
import { AfterimageError } from "../errors.ts";
import { messagesTopic, parseTableName, progressTopic, schemasTopic, tableTopic } from "../event/identifier.ts";
import { failpoint } from "../failpoint.ts";
import type { KafkaConnection } from "../kafka/connection.ts";
import type { TopicPartition } from "../kafka/protocol/transaction.ts";
import { createTopic, describeTopics, listTopicNames, type NewTopic, type TopicDescription } from "../kafka/topics.ts";
import { waitUntilNothingHeld } from "./held-topics.ts";
import { findPlaces, type Places } from "./own-places.ts";
import { holdsCommittedRecord, readTopicIds } from "./progress-log.ts";

export interface TopicSettings {
  readonly stream: string;
  readonly partitions: number;
  /** -1: the broker's default. */
  readonly replicationFactor: number;
  /** Topic names that replace the default one of a table. */
  readonly overrides: readonly { readonly schema: string; readonly table: string; readonly topic: string }[];
}

const DAY_MS = 86_400_000;

// Append-only and whole by default, so that a view can always be rebuilt. Broker time: commit times may be refused, or
// expire at once. https://kafka.apache.org/documentation/#topicconfigs
const KEPT_WHOLE = {
  "cleanup.policy": "delete",
  "retention.ms": "-1",
  "retention.bytes": "-1",
  "message.timestamp.type": "LogAppendTime",
  "max.message.bytes": String(16 * 1024 * 1024),
};

const COMPACTED = {
  "cleanup.policy": "compact",
  "retention.ms": "-1",
  "message.timestamp.type": "LogAppendTime",
  "min.compaction.lag.ms": String(7 * DAY_MS),
  // A snapshot's list of keys to read again, and what a batch wrote to thousands of partitions, may need more than 1 MiB.
  "max.message.bytes": String(16 * 1024 * 1024),
};

/** The stream's own two topics as they are made: progress, then schemas. */
export function ownTopics(stream: string, replicationFactor: number): [NewTopic, NewTopic] {
  return [
    { name: progressTopic(stream), partitions: 1, replicationFactor, configs: COMPACTED },
    { name: schemasTopic(stream), partitions: 1, replicationFactor, configs: KEPT_WHOLE },
  ];
}

/** A topic of events as it is made: a table's, or that of messages. */
export const newEventTopic = (name: string, partitions: number, replicationFactor: number): NewTopic => ({
  name,
  partitions,
  replicationFactor,
  configs: KEPT_WHOLE,
});

/** How long a topic may look absent before it is: brokers learn of a new one a moment later. */
const ABSENT_FOR_MS = 5_000;
const LOOK_AGAIN_MS = 100;

/** As long as Kafka lets a transaction of the stream's own be. */
const HELD_FOR_MS = 60_000;

const LONGEST_NAME = 249;

export class Topics {
  readonly #connection: KafkaConnection;
  readonly #settings: TopicSettings;
  readonly #known = new Map<string, TopicDescription>();

  constructor(connection: KafkaConnection, settings: TopicSettings) {
    this.#connection = connection;
    this.#settings = settings;
  }

  get progress(): string {
    return progressTopic(this.#settings.stream);
  }

  get schemas(): string {
    return schemasTopic(this.#settings.stream);
  }

  get messages(): string {
    return messagesTopic(this.#settings.stream);
  }

  nameOf(schema: string, table: string): string {
    const override = this.#settings.overrides.find((each) => each.schema === schema && each.table === table);
    return override?.topic ?? tableTopic(this.#settings.stream, schema, table);
  }

  /** Makes the progress and the schemas topic where they are missing. */
  async ensureOwn(): Promise<void> {
    const { stream, replicationFactor } = this.#settings;
    for (const topic of ownTopics(stream, replicationFactor)) await this.#ensure(topic);
  }

  /**
   * The topic of a table, made when it is missing. Throws TOPIC_COLLISION, TOPIC_NAME_TOO_LONG or TOPIC_PARTITIONS
   * before anything is made.
   */
  async ensureTable(topic: string): Promise<TopicDescription> {
    const { partitions, replicationFactor } = this.#settings;
    return this.#known.get(topic) ?? (await this.#ensure(newEventTopic(topic, partitions, replicationFactor)));
  }

  /** Null when there is no such topic; never makes one. */
  async find(topic: string): Promise<TopicDescription | null> {
    return (await describeTopics(this.#connection, [topic])).get(topic) ?? null;
  }

  /** A topic that must be there: a broker that has not heard of it yet is asked again. Throws TOPIC_MISSING. */
  async findExisting(topic: string): Promise<TopicDescription> {
    const deadline = performance.now() + ABSENT_FOR_MS;
    for (;;) {
      const found = await this.find(topic);
      if (found !== null) {
        return found;
      }
      if (performance.now() > deadline) {
        throw topicMissing(topic);
      }
      await sleep(LOOK_AGAIN_MS);
    }
  }

  /**
   * The topic of messages, made when it is missing. `recorded`: its id, when it was written to before. Throws
   * TOPIC_MISSING, TOPIC_RECREATED, TOPIC_FOREIGN, and what `ensureTable` throws.
   */
  async ensureMessages(recorded: string | undefined): Promise<TopicDescription> {
    if (recorded === undefined) {
      await this.checkUnused(this.messages);
    } else {
      checkId(await this.findExisting(this.messages), recorded);
    }
    return this.ensureTable(this.messages);
  }

  /**
   * The topics that were written to before are the same, and nothing is open in them; that of messages is looked at where
   * its id is recorded and it still has it. Throws TOPIC_MISSING or TOPIC_RECREATED for a table's, and TOPIC_HELD.
   */
  async verifyKept(
    tables: readonly { readonly table: string; readonly topicId: string }[],
    messagesTopicId: string | undefined,
    patienceMs: number,
  ): Promise<void> {
    const kept: TopicDescription[] = [];
    for (const { table, topicId } of tables) {
      const name = parseTableName(table);
      const found = await this.findExisting(this.nameOf(name.schema, name.table));
      checkId(found, topicId);
      kept.push(found);
    }
    const messages = messagesTopicId === undefined ? null : await this.find(this.messages);
    if (messages !== null && messages.id === messagesTopicId) {
      kept.push(messages);
    }
    await waitUntilNothingHeld(this.#connection, kept.flatMap(partitionsOf), patienceMs);
  }

  /** Every partition that a daemon of this stream may have written to. Throws as `findPlaces` and `readSchemas`. */
  async allPlaces(): Promise<Places> {
    const { stream, overrides } = this.#settings;
    const named = new Set(overrides.map(({ topic }) => topic));
    return findPlaces(this.#connection, {
      fixed: [this.progress, this.schemas, this.messages],
      ids: await readTopicIds(this.#connection, this.schemas),
      mayBeOwn: (name) => name.startsWith(`${stream}.`) || named.has(name),
    });
  }

  /**
   * A topic that is to be taken into use holds nothing, and nothing is open in it: a start settles only what it can look at
   * of a topic that no record names. Throws TOPIC_FOREIGN, and TOPIC_HELD after `patienceMs`.
   */
  async checkUnused(topic: string, patienceMs = HELD_FOR_MS): Promise<void> {
    const found = await this.find(topic);
    if (found === null) {
      return;
    }
    await waitUntilNothingHeld(this.#connection, partitionsOf(found), patienceMs);
    if (await holdsCommittedRecord(this.#connection, topic)) {
      throw new AfterimageError(
        "TOPIC_FOREIGN",
        `Topic ${topic} holds records that this stream did not write.`,
        topic === this.messages
          ? "Remove that topic, or publish no messages (messages.prefixes: [])."
          : "Name another topic for this table under topics: in the configuration, or remove that topic.",
      );
    }
  }

  /** Halts when a topic in use was deleted, made anew or given more partitions. */
  async verifyUnchanged(): Promise<void> {
    const now = await describeTopics(this.#connection, [...this.#known.keys()]);
    for (const [name, before] of this.#known) {
      checkSame(name, before, now.get(name) ?? (await this.findExisting(name)));
    }
  }

  async #ensure(topic: NewTopic): Promise<TopicDescription> {
    const { name, partitions } = topic;
    checkName(name, await listTopicNames(this.#connection));
    let found = await this.find(name);
    if (found === null) {
      await createTopic(this.#connection, topic);
      failpoint("topics.created");
      found = await this.findExisting(name);
    }
    if (found.partitions !== partitions) {
      throw new AfterimageError(
        "TOPIC_PARTITIONS",
        `Topic ${name} has ${found.partitions} partitions, ${partitions} are configured.`,
        partitions === 1
          ? "This topic must have one partition. Drop the stream's topics (afterimage drop STREAM --topics) and start again."
          : `Set kafka.partitions to ${found.partitions} if it always had as many, or name another topic for this table under topics:. If partitions were added to it, rebuild the stream: afterimage drop STREAM --topics, then start.`,
      );
    }
    this.#known.set(name, found);
    return found;
  }
}

const partitionsOf = ({ name, partitions }: TopicDescription): TopicPartition[] =>
  Array.from({ length: partitions }, (_, partition) => ({ topic: name, partition }));

function checkName(name: string, existing: readonly string[]): void {
  if (name.length > LONGEST_NAME) {
    throw new AfterimageError(
      "TOPIC_NAME_TOO_LONG",
      `Topic name ${name} has ${name.length} characters; Kafka allows ${LONGEST_NAME}.`,
      "Name a shorter topic for this table under topics: in the configuration.",
    );
  }
  // Kafka itself refuses names that differ only in `.` and `_`, but only when the later one is made.
  const folded = name.replaceAll(".", "_");
  const rival = existing.find((other) => other !== name && other.replaceAll(".", "_") === folded);
  if (rival !== undefined) {
    throw new AfterimageError(
      "TOPIC_COLLISION",
      `Topic ${name} collides with the existing topic ${rival}: Kafka takes . and _ for the same.`,
      "Name another topic for this table under topics: in the configuration, or choose another stream name.",
    );
  }
}

function checkId({ name, id }: TopicDescription, recorded: string): void {
  if (id !== recorded) {
    throw topicRecreated(name);
  }
}

function checkSame(name: string, before: TopicDescription, now: TopicDescription): void {
  checkId(now, before.id);
  if (now.partitions !== before.partitions) {
    throw new AfterimageError(
      "TOPIC_REPARTITIONED",
      `Topic ${name} had ${before.partitions} partitions and now has ${now.partitions}: keys would change their partition, and their order would be lost.`,
      "Rebuild the stream with the new count: afterimage drop STREAM --topics, set kafka.partitions, then start.",
    );
  }
}

function topicMissing(name: string): AfterimageError {
  return new AfterimageError(
    "TOPIC_MISSING",
    `Topic ${name} is gone; its events are lost.`,
    "Somebody deleted it. Rebuild the stream: afterimage drop STREAM --topics, then start.",
  );
}

export function topicRecreated(name: string): AfterimageError {
  return new AfterimageError(
    "TOPIC_RECREATED",
    `Topic ${name} is not the one this stream wrote to: it was deleted and made again, and its events are lost.`,
    "Rebuild the stream: afterimage drop STREAM --topics, then start.",
  );
}
