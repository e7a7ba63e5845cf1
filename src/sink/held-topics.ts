// Open transactions that hide newer committed records from read_committed readers: waited for, then named.
import { setTimeout as sleep } from "node:timers/promises";
import { AfterimageError } from "../errors.ts";
import type { KafkaConnection } from "../kafka/connection.ts";
import { fetchOffsets, findHeld } from "../kafka/offsets.ts";
import type { TopicPartition } from "../kafka/protocol/transaction.ts";

const LOOK_AGAIN_MS = 50;

/**
 * Waits until no transaction is open on the progress topic. Resolves with the topic's end, the offset of the next
 * record. Throws PROGRESS_HELD after `patienceMs`.
 */
export async function waitUntilNoOpenTransaction(
  connection: KafkaConnection,
  topic: string,
  patienceMs: number,
): Promise<bigint> {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    const { lastStable, highWatermark } = await fetchOffsets(connection, topic, 0);
    if (lastStable === highWatermark) {
      return highWatermark;
    }
    if (performance.now() > deadline) {
      throw new AfterimageError(
        "PROGRESS_HELD",
        `An open transaction of another producer holds topic ${topic} at offset ${lastStable}; newer records can't be seen.`,
        `Find it with kafka-transactions.sh find-hanging --topic ${topic} --partition 0, and abort it if it is another program's: only afterimage may write to this topic. If it is the stream's own, under a producer id that Kafka has forgotten, rebuild the stream (afterimage drop STREAM --topics, then start).`,
      );
    }
    await sleep(LOOK_AGAIN_MS);
  }
}

/**
 * Waits until no transaction is open on partitions of tables. To be called when the stream's own producer has none: one
 * that stays would be ended by that producer's next one, whichever way it had been decided. Throws TOPIC_HELD after
 * `patienceMs`.
 */
export async function waitUntilNothingHeld(
  connection: KafkaConnection,
  places: readonly TopicPartition[],
  patienceMs: number,
): Promise<void> {
  const deadline = performance.now() + patienceMs;
  for (let held = await findHeld(connection, places); held.length > 0; held = await findHeld(connection, held)) {
    if (performance.now() > deadline) {
      const { topic, partition, lastStable } = held[0]!;
      throw new AfterimageError(
        "TOPIC_HELD",
        `A transaction that does not end holds topic ${topic} partition ${partition} at offset ${lastStable}; newer records can't be seen.`,
        `Find it with kafka-transactions.sh find-hanging --topic ${topic} --partition ${partition}. If another program's, stop that program and abort it: only afterimage may write to this topic. If it is the stream's own, under a producer id that Kafka has forgotten, how it ended can't be told: rebuild the stream (afterimage drop STREAM --topics, then start).`,
      );
    }
    await sleep(LOOK_AGAIN_MS);
  }
}
