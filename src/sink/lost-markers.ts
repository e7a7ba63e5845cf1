// Ends what brokers left open of the stream's own transactions whose end is known: see docs/architecture.md, "A
// transaction whose end the brokers lose".
import { setTimeout as sleep } from "node:timers/promises";
import type { KafkaConnection } from "../kafka/connection.ts";
import { findBelowStable } from "../kafka/offsets.ts";
import type { TopicPartition } from "../kafka/protocol/transaction.ts";
import type { TransactionalProducer } from "../kafka/transactional-producer.ts";

/** Markers that are on their way come within milliseconds; one that comes besides ours does no harm. */
const MARKERS_LATE_MS = 2_000;
const LONGEST_PAUSE_MS = 50;

/** Of a partition, the last offset that a transaction has written there. */
export interface WrittenPartition extends TopicPartition {
  readonly lastOffset: bigint;
}

/**
 * To be called before the next transaction begins: waits until the one whose commit was answered has its marker in every
 * partition, and writes those that don't come. Throws TOPIC_HELD where that is not allowed; else what passes.
 */
export async function settleCommit(
  connection: KafkaConnection,
  producer: TransactionalProducer,
  written: readonly WrittenPartition[],
): Promise<void> {
  const began = performance.now();
  for (let pause = 1; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
    const open = await findBelowStable(connection, written);
    if (open.length === 0) {
      return;
    }
    if (performance.now() - began < MARKERS_LATE_MS) {
      await sleep(pause);
    } else if (!(await producer.endHanging(open, true))) {
      return; // what is open there is another program's
    }
  }
}
