// The topic of messages: opened before anything is streamed, since it belongs to no table that a row would make known.
import type { MessageRoute } from "../capture/captured-table.ts";
import type { Config } from "../config/config.ts";
import { matchesPrefix } from "../config/message-prefixes.ts";
import type { TopicDescription } from "../kafka/topics.ts";
import type { EncodedEvent } from "../sink/encode-event.ts";
import type { Topics } from "../sink/topics.ts";
import type { DaemonStatus } from "./status.ts";

export class MessageTopic implements MessageRoute {
  readonly topic: string;
  readonly partitions: number;
  /** Kafka's. */
  readonly id: string;
  readonly #prefixes: readonly string[];
  #published = 0;
  #placeless = 0;

  constructor({ name, partitions, id }: TopicDescription, prefixes: readonly string[]) {
    this.topic = name;
    this.partitions = partitions;
    this.id = id;
    this.#prefixes = prefixes;
  }

  wants(prefix: string): boolean {
    return matchesPrefix(this.#prefixes, prefix);
  }

  placeless(prefix: string): void {
    if (this.wants(prefix)) {
      this.#placeless++;
    }
  }

  /** These events are durable. */
  published(events: readonly Pick<EncodedEvent, "encoder">[]): void {
    this.#published += events.filter(({ encoder }) => encoder === null).length;
  }

  /** Since this session began. */
  get status(): NonNullable<DaemonStatus["messages"]> {
    return { topic: this.topic, published: this.#published, notTransactional: this.#placeless };
  }
}

/**
 * Null when no message is to be published. `recorded`: the topic's id, as the progress record has it. Throws what
 * `Topics.ensureMessages` throws.
 */
export async function openMessages(
  topics: Topics,
  { messages }: Pick<Config, "messages">,
  recorded: string | undefined,
): Promise<MessageTopic | null> {
  return messages.prefixes.length === 0
    ? null
    : new MessageTopic(await topics.ensureMessages(recorded), messages.prefixes);
}
