// Produce: appends at most one record batch to each of several partitions of one broker.
// https://kafka.apache.org/protocol.html#The_Messages_Produce
import type { KafkaRequest } from "./request.ts";
import type { TopicPartition } from "./transaction.ts";

export interface ProduceBatch extends TopicPartition {
  /** Size of the encoded record batch. */
  readonly bytes: number;
  write(buffer: Buffer, at: number): void;
}

export interface ProduceReply extends TopicPartition {
  readonly error: number;
  /** -1 when nothing was appended. */
  readonly baseOffset: bigint;
}

const ALL_IN_SYNC_REPLICAS = -1;

/** Version 8. `timeoutMs` bounds how long the leader waits for its replicas. */
export function produce(
  transactionalId: string,
  timeoutMs: number,
  batches: readonly ProduceBatch[],
): KafkaRequest<ProduceReply[]> {
  const topics = Map.groupBy(batches, ({ topic }) => topic);
  let size = 32 + transactionalId.length * 3;
  for (const { topic, bytes } of batches) {
    size += bytes + topic.length * 3 + 16;
  }
  return {
    apiKey: 0,
    name: "Produce",
    version: 8,
    flexible: false,
    size,
    write(writer) {
      writer.string(transactionalId);
      writer.int16(ALL_IN_SYNC_REPLICAS);
      writer.int32(timeoutMs);
      writer.array([...topics], ([topic, members]) => {
        writer.string(topic);
        writer.array(members, (batch) => {
          writer.int32(batch.partition);
          writer.int32(batch.bytes);
          writer.fill(batch.bytes, (buffer, at) => batch.write(buffer, at));
        });
      });
    },
    read(reader) {
      return reader
        .array(() => {
          const topic = reader.string()!;
          return reader.array((): ProduceReply => {
            const partition = reader.int32();
            const error = reader.int16();
            const baseOffset = reader.int64();
            reader.int64(); // log append time
            reader.int64(); // log start offset
            reader.array(() => {
              reader.int32(); // index of a refused record
              reader.string();
            });
            reader.string(); // error message
            return { topic, partition, error, baseOffset };
          });
        })
        .flat();
    },
  };
}
