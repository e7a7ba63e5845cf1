// The log reader on Kafka: all partitions of all topics, read_committed, without a group and without offset resets.
import { fetchPartitions } from "../../kafka/committed-reader.ts";
import { KafkaConnection, type KafkaSettings } from "../../kafka/connection.ts";
import { fetchOffsets } from "../../kafka/offsets.ts";
import { describeTopics } from "../../kafka/topics.ts";
import type { FetchedPartition, FetchPosition, LogReader, TopicDescription } from "./log-reader.ts";

/** Long enough to be no work, short enough that a broker without news doesn't hold back another's. */
const WAIT_WITH_SEVERAL_BROKERS_MS = 50;

export class KafkaLogReader implements LogReader {
  readonly #connection: KafkaConnection;
  #first = 0;

  private constructor(connection: KafkaConnection) {
    this.#connection = connection;
  }

  static async connect(settings: KafkaSettings): Promise<KafkaLogReader> {
    return new KafkaLogReader(await KafkaConnection.connect(settings));
  }

  describe(topics: readonly string[]): Promise<ReadonlyMap<string, TopicDescription>> {
    return describeTopics(this.#connection, topics);
  }

  async fetch(positions: readonly FetchPosition[], maxWaitMs: number): Promise<readonly FetchedPartition[]> {
    const leaders = await this.#connection.leadersOf(positions);
    // A broker sends a record above the limits only for the first partition that has any: each is the first in its turn.
    this.#first = (this.#first + 1) % positions.length;
    const turned = [...positions.slice(this.#first), ...positions.slice(0, this.#first)];
    return fetchPartitions(this.#connection, turned, {
      maxWaitMs: leaders.size > 1 ? Math.min(maxWaitMs, WAIT_WITH_SEVERAL_BROKERS_MS) : maxWaitMs,
      maxBytes: 16 * 1024 * 1024,
    });
  }

  async earliestOffset(topic: string, partition: number): Promise<bigint> {
    return (await fetchOffsets(this.#connection, topic, partition)).earliest;
  }

  close(): Promise<void> {
    return this.#connection.close();
  }
}
