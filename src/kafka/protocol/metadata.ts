// Metadata and FindCoordinator: where everything is.
// https://kafka.apache.org/protocol.html#The_Messages_Metadata and #The_Messages_FindCoordinator
import type { KafkaRequest } from "./request.ts";

export interface PartitionMetadata {
  readonly error: number;
  readonly partition: number;
  /** Node id; -1 while there is none. */
  readonly leader: number;
  /** How many brokers hold it. */
  readonly replicas: number;
}

export interface TopicMetadata {
  readonly error: number;
  readonly name: string;
  /** As Kafka's tools print it: base64url of 16 bytes. */
  readonly id: string;
  readonly partitions: readonly PartitionMetadata[];
  /** What the client may do with it, a bit for each `AclOperation`; unset unless it was asked for. */
  readonly operations: number;
}

export interface ClusterMetadata {
  readonly brokers: readonly { readonly nodeId: number; readonly host: string; readonly port: number }[];
  readonly controllerId: number;
  readonly topics: readonly TopicMetadata[];
}

/** Version 12 (topic ids). `topics` null means all of them. Never creates a topic. */
export function metadata(topics: readonly string[] | null, { operations = false } = {}): KafkaRequest<ClusterMetadata> {
  return {
    apiKey: 3,
    name: "Metadata",
    version: 12,
    flexible: true,
    write(writer) {
      writer.compactArray(topics, (topic) => {
        writer.int64(0n);
        writer.int64(0n);
        writer.compactString(topic);
        writer.noTags();
      });
      writer.boolean(false); // allow_auto_topic_creation
      writer.boolean(operations); // include_topic_authorized_operations
      writer.noTags();
    },
    read(reader) {
      reader.int32(); // throttle time
      const brokers = reader.compactArray(() => {
        const broker = { nodeId: reader.int32(), host: reader.compactString()!, port: reader.int32() };
        reader.compactString(); // rack
        reader.skipTags();
        return broker;
      });
      reader.compactString(); // cluster id
      const controllerId = reader.int32();
      const found = reader.compactArray((): TopicMetadata => {
        const error = reader.int16();
        const name = reader.compactString() ?? "";
        const id = reader.uuid();
        reader.boolean(); // is internal
        const partitions = reader.compactArray((): PartitionMetadata => {
          const partition = { error: reader.int16(), partition: reader.int32(), leader: reader.int32() };
          reader.int32(); // leader epoch
          const replicas = reader.compactArray(() => reader.int32()).length;
          for (let list = 0; list < 2; list++) {
            reader.compactArray(() => reader.int32()); // in-sync replicas, offline replicas
          }
          reader.skipTags();
          return { ...partition, replicas };
        });
        const allowed = reader.int32();
        reader.skipTags();
        return { error, name, id, partitions, operations: allowed };
      });
      return { brokers, controllerId, topics: found };
    },
  };
}

/** Version 2: the coordinator of a transactional id. */
export function findTransactionCoordinator(
  transactionalId: string,
): KafkaRequest<{ error: number; nodeId: number; host: string; port: number }> {
  return {
    apiKey: 10,
    name: "FindCoordinator",
    version: 2,
    flexible: false,
    write(writer) {
      writer.string(transactionalId);
      writer.int8(1); // key type: transaction
    },
    read(reader) {
      reader.int32(); // throttle time
      const error = reader.int16();
      reader.string(); // error message
      return { error, nodeId: reader.int32(), host: reader.string() ?? "", port: reader.int32() };
    },
  };
}
