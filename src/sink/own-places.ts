// Where a daemon of this stream may have left a transaction open: the stream's topics as its records name them, and
// others whose names could be the stream's.
import type { KafkaConnection } from "../kafka/connection.ts";
import { Deadline, untilAnswered } from "../kafka/deadline.ts";
import { ErrorCode } from "../kafka/protocol/error-code.ts";
import type { TopicPartition } from "../kafka/protocol/transaction.ts";

export interface Places {
  /** Of topics that are the stream's: each has to be looked at. */
  readonly own: readonly TopicPartition[];
  /**
   * Partitions that have a leader, of topics that no record names. Another program's mostly; or one's own of a table whose
   * first transaction did not get as far as its schema record, so that nothing of it can have been committed.
   */
  readonly others: readonly TopicPartition[];
}

export interface OwnNames {
  /** Topics that are the stream's by their names. */
  readonly fixed: readonly string[];
  /** Ids of the others. */
  readonly ids: ReadonlySet<string>;
  /** Whether the name could be one of the stream's. */
  readonly mayBeOwn: (topic: string) => boolean;
}

/** Topics that don't exist have none. Throws KAFKA_NOT_READY or NoReply. */
export async function findPlaces(connection: KafkaConnection, { fixed, ids, mayBeOwn }: OwnNames): Promise<Places> {
  const deadline = new Deadline(connection.requestTimeoutMs);
  const { topics } = await untilAnswered(deadline, () => connection.metadata(null));
  const own: TopicPartition[] = [];
  const others: TopicPartition[] = [];
  for (const { error, name, id, partitions } of topics) {
    if (fixed.includes(name) || ids.has(id)) {
      own.push(...partitions.map(({ partition }) => ({ topic: name, partition })));
    } else if (error === ErrorCode.NONE && mayBeOwn(name)) {
      const led = partitions.filter(({ leader }) => leader >= 0);
      others.push(...led.map(({ partition }) => ({ topic: name, partition })));
    }
  }
  return { own, others };
}
