// InitProducerId, AddPartitionsToTxn and EndTxn: the steps of a transaction that its coordinator takes.
// https://kafka.apache.org/protocol.html#The_Messages_InitProducerId and the two after it
import type { KafkaRequest } from "./request.ts";

export interface ProducerIdentity {
  readonly producerId: bigint;
  readonly producerEpoch: number;
}

/** Asks for a new identity, fencing whoever holds the transactional id. */
export const NO_IDENTITY: ProducerIdentity = { producerId: -1n, producerEpoch: -1 };

export interface TopicPartition {
  readonly topic: string;
  readonly partition: number;
}

/** Version 4: takes the own identity, and answers PRODUCER_FENCED by that name (KIP-588). */
export function initProducerId(
  transactionalId: string,
  transactionTimeoutMs: number,
  identity: ProducerIdentity,
): KafkaRequest<ProducerIdentity & { error: number }> {
  return {
    apiKey: 22,
    name: "InitProducerId",
    version: 4,
    flexible: true,
    write(writer) {
      writer.compactString(transactionalId);
      writer.int32(transactionTimeoutMs);
      writer.int64(identity.producerId);
      writer.int16(identity.producerEpoch);
      writer.noTags();
    },
    read(reader) {
      reader.int32(); // throttle time
      return { error: reader.int16(), producerId: reader.int64(), producerEpoch: reader.int16() };
    },
  };
}

/** Version 2. Replies with an error for every partition. */
export function addPartitionsToTransaction(
  transactionalId: string,
  identity: ProducerIdentity,
  partitions: readonly TopicPartition[],
): KafkaRequest<(TopicPartition & { error: number })[]> {
  const topics = Map.groupBy(partitions, ({ topic }) => topic);
  return {
    apiKey: 24,
    name: "AddPartitionsToTxn",
    version: 2,
    flexible: false,
    write(writer) {
      writer.string(transactionalId);
      writer.int64(identity.producerId);
      writer.int16(identity.producerEpoch);
      writer.array([...topics], ([topic, members]) => {
        writer.string(topic);
        writer.array(members, ({ partition }) => writer.int32(partition));
      });
    },
    read(reader) {
      reader.int32(); // throttle time
      return reader
        .array(() => {
          const topic = reader.string()!;
          return reader.array(() => ({ topic, partition: reader.int32(), error: reader.int16() }));
        })
        .flat();
    },
  };
}

/** Version 2. */
export function endTransaction(
  transactionalId: string,
  identity: ProducerIdentity,
  commit: boolean,
): KafkaRequest<{ error: number }> {
  return {
    apiKey: 26,
    name: "EndTxn",
    version: 2,
    flexible: false,
    write(writer) {
      writer.string(transactionalId);
      writer.int64(identity.producerId);
      writer.int16(identity.producerEpoch);
      writer.boolean(commit);
    },
    read(reader) {
      reader.int32(); // throttle time
      return { error: reader.int16() };
    },
  };
}
