// DescribeProducers and WriteTxnMarkers: which transactions are open in a partition, and the markers that end them.
// https://kafka.apache.org/protocol.html#The_Messages_DescribeProducers and #The_Messages_WriteTxnMarkers
import type { KafkaRequest } from "./request.ts";
import type { ProducerIdentity, TopicPartition } from "./transaction.ts";

export interface ActiveProducer {
  readonly producerId: bigint;
  /** Of the coordinator that wrote its last marker here; -1 before the first one. */
  readonly coordinatorEpoch: number;
  /** First offset of its open transaction; -1 when it has none. */
  readonly openFrom: bigint;
}

export interface PartitionProducers extends TopicPartition {
  readonly error: number;
  readonly producers: readonly ActiveProducer[];
}

/** Version 0. Needs the right to read the topics. */
export function describeProducers(partitions: readonly TopicPartition[]): KafkaRequest<PartitionProducers[]> {
  const topics = Map.groupBy(partitions, ({ topic }) => topic);
  return {
    apiKey: 61,
    name: "DescribeProducers",
    version: 0,
    flexible: true,
    write(writer) {
      writer.compactArray([...topics], ([topic, members]) => {
        writer.compactString(topic);
        writer.compactArray(members, ({ partition }) => writer.int32(partition));
        writer.noTags();
      });
      writer.noTags();
    },
    read(reader) {
      reader.int32(); // throttle time
      return reader
        .compactArray(() => {
          const topic = reader.compactString()!;
          const found = reader.compactArray(() => {
            const partition = reader.int32();
            const error = reader.int16();
            reader.compactString(); // error message
            const producers = reader.compactArray(() => {
              const producerId = reader.int64();
              reader.int32(); // producer epoch
              reader.int32(); // last sequence
              reader.int64(); // last timestamp
              const coordinatorEpoch = reader.int32();
              const openFrom = reader.int64();
              reader.skipTags();
              return { producerId, coordinatorEpoch, openFrom };
            });
            reader.skipTags();
            return { topic, partition, error, producers };
          });
          reader.skipTags();
          return found;
        })
        .flat();
    },
  };
}

export interface MarkedPartition extends TopicPartition {
  readonly coordinatorEpoch: number;
}

/** Version 1. Needs the right to alter the cluster. Replies with an error for every partition. */
export function writeTransactionMarkers(
  { producerId, producerEpoch }: ProducerIdentity,
  partitions: readonly MarkedPartition[],
  commit: boolean,
): KafkaRequest<(TopicPartition & { error: number })[]> {
  return {
    apiKey: 27,
    name: "WriteTxnMarkers",
    version: 1,
    flexible: true,
    write(writer) {
      writer.compactArray(partitions, ({ topic, partition, coordinatorEpoch }) => {
        writer.int64(producerId);
        writer.int16(producerEpoch);
        writer.boolean(commit);
        writer.compactArray([topic], (name) => {
          writer.compactString(name);
          writer.compactArray([partition], (number) => writer.int32(number));
          writer.noTags();
        });
        writer.int32(coordinatorEpoch);
        writer.noTags();
      });
      writer.noTags();
    },
    read(reader) {
      return reader
        .compactArray(() => {
          reader.int64(); // producer id
          const topics = reader.compactArray(() => {
            const topic = reader.compactString()!;
            const marked = reader.compactArray(() => {
              const place = { topic, partition: reader.int32(), error: reader.int16() };
              reader.skipTags();
              return place;
            });
            reader.skipTags();
            return marked;
          });
          reader.skipTags();
          return topics.flat();
        })
        .flat();
    },
  };
}
