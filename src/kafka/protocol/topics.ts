// CreateTopics, DeleteTopics and DescribeConfigs.
// https://kafka.apache.org/protocol.html#The_Messages_CreateTopics and the two others there
import type { KafkaRequest } from "./request.ts";

export interface NewTopic {
  readonly name: string;
  readonly partitions: number;
  /** -1: the broker's default. */
  readonly replicationFactor: number;
  readonly configs: Readonly<Record<string, string>>;
}

/** Version 4 (replication factor -1, KIP-464). `validateOnly`: says what would become of it, and makes nothing. */
export function createTopics(
  topics: readonly NewTopic[],
  timeoutMs: number,
  { validateOnly = false } = {},
): KafkaRequest<{ name: string; error: number; message: string | null }[]> {
  return {
    apiKey: 19,
    name: "CreateTopics",
    version: 4,
    flexible: false,
    waitMs: timeoutMs,
    write(writer) {
      writer.array(topics, (topic) => {
        writer.string(topic.name);
        writer.int32(topic.partitions);
        writer.int16(topic.replicationFactor);
        writer.int32(0); // manual assignments
        writer.array(Object.entries(topic.configs), ([name, value]) => {
          writer.string(name);
          writer.string(value);
        });
      });
      writer.int32(timeoutMs);
      writer.boolean(validateOnly);
    },
    read(reader) {
      reader.int32(); // throttle time
      return reader.array(() => ({ name: reader.string()!, error: reader.int16(), message: reader.string() }));
    },
  };
}

/** Version 3. */
export function deleteTopics(
  names: readonly string[],
  timeoutMs: number,
): KafkaRequest<{ name: string; error: number }[]> {
  return {
    apiKey: 20,
    name: "DeleteTopics",
    version: 3,
    flexible: false,
    waitMs: timeoutMs,
    write(writer) {
      writer.array(names, (name) => writer.string(name));
      writer.int32(timeoutMs);
    },
    read(reader) {
      reader.int32(); // throttle time
      return reader.array(() => ({ name: reader.string()!, error: reader.int16() }));
    },
  };
}

const TOPIC_RESOURCE = 2;
const BROKER_RESOURCE = 4;

type ConfigRequest = KafkaRequest<{ error: number; configs: Map<string, string> }>;

/** All settings of one topic, defaults included. */
export const describeTopicConfig = (name: string): ConfigRequest => describeConfig(TOPIC_RESOURCE, name);

/** All settings of one broker, which answers only for itself. */
export const describeBrokerConfig = (nodeId: number): ConfigRequest => describeConfig(BROKER_RESOURCE, String(nodeId));

/** Version 2. */
function describeConfig(type: number, resource: string): ConfigRequest {
  return {
    apiKey: 32,
    name: "DescribeConfigs",
    version: 2,
    flexible: false,
    write(writer) {
      writer.array([resource], (name) => {
        writer.int8(type);
        writer.string(name);
        writer.int32(-1); // all keys
      });
      writer.boolean(false); // include synonyms
    },
    read(reader) {
      reader.int32(); // throttle time
      const configs = new Map<string, string>();
      const errors = reader.array(() => {
        const error = reader.int16();
        reader.string(); // error message
        reader.int8(); // resource type
        reader.string(); // resource name
        reader.array(() => {
          const key = reader.string()!;
          const value = reader.string();
          reader.boolean(); // read only
          reader.int8(); // source
          reader.boolean(); // sensitive
          reader.array(() => {
            reader.string();
            reader.string();
            reader.int8();
          });
          if (value !== null) {
            configs.set(key, value);
          }
        });
        return error;
      });
      return { error: errors[0] ?? 0, configs };
    },
  };
}
