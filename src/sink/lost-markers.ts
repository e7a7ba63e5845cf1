// Ends what brokers left open of the stream's own transactions whose end is known: see docs/architecture.md, "A
// transaction whose end the brokers lose".
import { setTimeout as sleep } from "node:timers/promises";
import { parseEnvelope } from "../event/envelope.ts";
import type { Lsn } from "../event/lsn.ts";
import { type Progress, parseProgress } from "../event/progress.ts";
import { snapshotField } from "../event/snapshot-state.ts";
import { fetchPartitions } from "../kafka/committed-reader.ts";
import type { KafkaConnection } from "../kafka/connection.ts";
import { type HangingTransaction, readOpen } from "../kafka/hanging.ts";
import { findBelowStable, findHeld } from "../kafka/offsets.ts";
import type { TopicPartition } from "../kafka/protocol/transaction.ts";
import type { TransactionalProducer } from "../kafka/transactional-producer.ts";
import { waitUntilNoOpenTransaction, waitUntilNothingHeld } from "./held-topics.ts";
import { readProgress } from "./progress-log.ts";

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

export interface OwnTopics {
  readonly connection: KafkaConnection;
  readonly producer: TransactionalProducer;
  readonly progressTopic: string;
  readonly schemasTopic: string;
}

/**
 * After InitProducerId: ends what the last transaction left open on the progress topic, the way it was decided, or aborts it
 * when nobody can have seen how that was. `confirmed` is what Postgres was told, null for a batch that never was. Leaves open
 * what can't be told. Throws what passes.
 */
export async function settleProgress(own: OwnTopics, confirmed: Lsn | null): Promise<void> {
  const { connection, producer, progressTopic, schemasTopic } = own;
  const progress = [{ topic: progressTopic, partition: 0 }];
  const schemas = [{ topic: schemasTopic, partition: 0 }];
  const [open] = await producer.findHanging(progress);
  if (open === undefined) {
    return;
  }
  const held = parseProgress(await readOpen(connection, open));
  const stored = await readProgress(connection, progressTopic);
  const openSchemas = await producer.findHanging(schemas);
  const commit = await decisionOf(own, { held, stored, confirmed, schemasOpen: openSchemas.length > 0 });
  if (commit !== null) {
    // The record last: as long as it is open, the next start comes to the same end.
    await producer.endHanging(schemas, commit);
    await producer.endHanging(progress, commit);
  }
}

/**
 * At a start: `settleProgress`, then waits until nothing is open on the stream's own topics. Resolves with the progress
 * topic's end. Throws PROGRESS_HELD or TOPIC_HELD after `patienceMs`.
 */
export async function settleOwnTopics(own: OwnTopics, confirmed: Lsn, patienceMs: number): Promise<bigint> {
  await settleProgress(own, confirmed);
  const end = await waitUntilNoOpenTransaction(own.connection, own.progressTopic, patienceMs);
  await waitUntilNothingHeld(own.connection, [{ topic: own.schemasTopic, partition: 0 }], patienceMs);
  return end;
}

/** After `settleProgress`: ends what is open in partitions of tables as the progress record tells. */
export async function settleTables(
  { connection, producer, progressTopic }: OwnTopics,
  places: readonly TopicPartition[],
): Promise<void> {
  const hanging = await producer.findHanging(await findHeld(connection, places));
  if (hanging.length === 0) {
    return;
  }
  const published = (await readProgress(connection, progressTopic))?.sequence ?? 0;
  const committed: HangingTransaction[] = [];
  const aborted: HangingTransaction[] = [];
  for (const place of hanging) {
    const { sequence } = parseEnvelope(await readOpen(connection, place));
    (sequence <= published ? committed : aborted).push(place);
  }
  await producer.endHanging(committed, true);
  await producer.endHanging(aborted, false);
}

interface Case {
  readonly held: Progress;
  readonly stored: Progress | null;
  readonly confirmed: Lsn | null;
  readonly schemasOpen: boolean;
}

/** Whether the transaction that wrote `held` was committed; null when that can't be told. */
async function decisionOf(
  { connection, producer }: OwnTopics,
  { held, stored, ...known }: Case,
): Promise<boolean | null> {
  if (stored !== null && known.confirmed !== null && known.confirmed > stored.endLsn) {
    return held.endLsn >= known.confirmed ? true : null; // confirmed is only what Kafka has answered for
  }
  const written = [...held.partitions].flatMap(([topic, partitions]) =>
    [...partitions].map(([partition, { offset }]) => ({ topic, partition, offset })),
  );
  const open = await producer.findHanging(written);
  const ended = written.find(
    ({ topic, partition }) => !open.some((place) => place.topic === topic && place.partition === partition),
  );
  if (ended !== undefined) {
    const [fetched] = await fetchPartitions(connection, [ended], { maxWaitMs: 100, maxBytesPerPartition: 1 });
    return fetched === undefined || fetched.lastStableOffset <= ended.offset
      ? null
      : fetched.records.some(({ offset }) => offset === ended.offset);
  }
  // Every partition of it is open: neither outcome was ever seen. Unless its schema records were: a table that is recorded
  // and whose snapshot is not planned would never be read.
  const plan = (progress: Progress | null) => JSON.stringify(snapshotField(progress?.snapshot ?? []));
  return known.schemasOpen || plan(held) === plan(stored) ? false : null;
}
