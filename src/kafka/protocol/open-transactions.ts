// DescribeTransactions and DescribeProducers: what a coordinator knows of a transaction, and what is open in a partition.
// https://kafka.apache.org/protocol.html#The_Messages_DescribeTransactions and #The_Messages_DescribeProducers (KIP-664)
import type { KafkaRequest } from "./request.ts";
import type { ProducerIdentity, TopicPartition } from "./transaction.ts";

export interface DescribedTransaction extends ProducerIdentity {
  readonly error: number;
  /** Empty, Ongoing, PrepareCommit, PrepareAbort, CompleteCommit, CompleteAbort …; "" with an error. */
  readonly state: string;
  /** Milliseconds since 1970 by the broker's clock; -1 when none has begun. */
  readonly startedAt: bigint;
}

/** Version 0. Needs the right to describe the transactional id, which goes with the one to write with it. */
export function describeTransaction(transactionalId: string): KafkaRequest<DescribedTransaction> {
  return {
    apiKey: 65,
    name: "DescribeTransactions",
    version: 0,
    flexible: true,
    write(writer) {
      writer.compactArray([transactionalId], (id) => writer.compactString(id));
      writer.noTags();
    },
    read(reader) {
      reader.int32(); // throttle time
      const [described] = reader.compactArray(() => {
        const error = reader.int16();
        reader.compactString(); // transactional id
        const state = reader.compactString() ?? "";
        reader.int32(); // timeout
        const startedAt = reader.int64();
        const producerId = reader.int64();
        const producerEpoch = reader.int16();
        reader.compactArray(() => {
          reader.compactString(); // topic
          reader.compactArray(() => reader.int32());
          reader.skipTags();
        });
        reader.skipTags();
        return { error, state, startedAt, producerId, producerEpoch };
      });
      return described!;
    },
  };
}

export interface PartitionProducers extends TopicPartition {
  readonly error: number;
  /** `openFrom`: first offset of the producer's open transaction; -1 when it has none. */
  readonly producers: readonly { readonly producerId: bigint; readonly openFrom: bigint }[];
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
              reader.int32(); // coordinator epoch
              const openFrom = reader.int64();
              reader.skipTags();
              return { producerId, openFrom };
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
