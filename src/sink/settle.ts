// What brokers have lost the end of: waited for after each commit, and ended by a marker of our own when it does not come.
// The reasons are in docs/architecture.md, "A transaction whose end the brokers lose".
import { setTimeout as sleep } from "node:timers/promises";
import { AfterimageError } from "../errors.ts";
import { parseEnvelope } from "../event/envelope.ts";
import { type Progress, parseProgress } from "../event/progress.ts";
import type { KafkaConnection } from "../kafka/connection.ts";
import { AmbiguousOutcome } from "../kafka/errors.ts";
import { findBelowStable, findHeld, type WrittenPartition } from "../kafka/offsets.ts";
import { fatesOf, findOpenOf, type OpenPartition, readUncommitted } from "../kafka/open-transactions.ts";
import type { FetchPosition } from "../kafka/protocol/fetch.ts";
import type { TopicPartition } from "../kafka/protocol/transaction.ts";
import { isUnknown } from "../kafka/transaction-coordinator.ts";
import type { TransactionalProducer } from "../kafka/transactional-producer.ts";
import type { Places } from "./own-places.ts";
import { readProgress } from "./progress-log.ts";

/** Markers come within milliseconds; so late, and it is looked whether they still will. */
const MARKERS_LATE_MS = 2_000;
const LONGEST_PAUSE_MS = 50;

export interface OwnTopics {
  readonly connection: KafkaConnection;
  readonly producer: TransactionalProducer;
  readonly progressTopic: string;
  readonly schemasTopic: string;
  /** Gets a line for each settlement, for the operator. */
  readonly notes: string[];
}

/**
 * To be called when a commit was answered, and before anybody is told: waits until its markers are in the logs. Throws
 * AmbiguousOutcome when they don't come or brokers don't answer; TOPIC_MISSING when a topic was deleted meanwhile.
 */
export async function untilReadable(
  { connection, producer }: OwnTopics,
  written: readonly WrittenPartition[],
): Promise<void> {
  const began = performance.now();
  let open = written;
  try {
    for (let pause = 1; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
      open = await findBelowStable(connection, open);
      if (open.length === 0) {
        return;
      }
      if (performance.now() - began > MARKERS_LATE_MS) {
        break;
      }
      await sleep(pause);
    }
    if ((await producer.findOpen(open)).length === 0) {
      return; // another program's transaction keeps readers away from ours, which is ended
    }
  } catch (error) {
    throw isUnknown(error) ? new AmbiguousOutcome("the markers of a commit", error) : error;
  }
  throw new AmbiguousOutcome("the markers of a commit", undefined);
}

/**
 * takeOver or reinitialise, then ends what transactions of the same producer id have left open in these partitions, until
 * nothing is. What can't be decided stays, for the looks that follow to name. Throws what passes, PRODUCER_FENCED, and
 * TOPIC_MISSING or KAFKA_NOT_AUTHORIZED.
 */
export async function initialiseAndSettle(
  own: OwnTopics,
  initialise: () => Promise<void>,
  allPlaces: () => Promise<Places>,
): Promise<void> {
  await commitInterrupted(own, allPlaces);
  await initialise();
  for (;;) {
    const places = await allPlaces();
    const held = await findHeld(own.connection, places.own);
    const open = held.length === 0 ? [] : await own.producer.findOpen(held);
    const find = (others: readonly TopicPartition[]) => own.producer.findOpen(others);
    const decision = await decide(own, [...open, ...(await findOpenInOthers(own, places, find))]);
    if (decision === null) {
      return;
    }
    await own.producer.endOpen(decision.places, decision.commit);
    own.notes.push(noteOf(decision));
    await own.producer.reinitialise(); // waits for the markers
  }
}

/** A settling commit that its daemon left before it was decided: InitProducerId would make an abort of it. */
async function commitInterrupted(own: OwnTopics, allPlaces: () => Promise<Places>): Promise<void> {
  const { connection, producer } = own;
  const ongoing = await producer.ongoing();
  if (ongoing === null) {
    return;
  }
  const places = await allPlaces();
  const find = (some: readonly TopicPartition[]) => findOpenOf(connection, ongoing.producerId, some);
  const open = [...(await find(places.own)), ...(await findOpenInOthers(own, places, find))];
  const decision = await decide(own, open);
  if (decision?.commit !== true) {
    return;
  }
  // What was decided upon was seen while this one was open: else it says nothing of it.
  const still = await producer.ongoing();
  if (still?.producerEpoch === ongoing.producerEpoch && still.startedAt === ongoing.startedAt) {
    await producer.commitOngoing(still);
    own.notes.push(noteOf(decision));
  }
}

/** Those that can't be looked at are passed over: what may be open there counts for nothing, and `checkUnused` meets it. */
async function findOpenInOthers(
  { connection }: OwnTopics,
  { others }: Places,
  find: (places: readonly TopicPartition[]) => Promise<OpenPartition[]>,
): Promise<OpenPartition[]> {
  const topics = Map.groupBy(others, ({ topic }) => topic).values();
  const looks = [...topics].map(async (places) => {
    try {
      const held = await findHeld(connection, places);
      return held.length === 0 ? [] : await find(held);
    } catch (error) {
      if (error instanceof AfterimageError && UNSEEN.has(error.code)) {
        return [];
      }
      throw error;
    }
  });
  return (await Promise.all(looks)).flat();
}

const UNSEEN = new Set(["TOPIC_MISSING", "KAFKA_NOT_AUTHORIZED", "KAFKA_NOT_READY"]);

interface Decision {
  readonly commit: boolean;
  readonly places: readonly OpenPartition[];
}

/**
 * How the transaction ends that is open in these partitions, the last one of its producer: committed when anything of it
 * can be read, since somebody may have; else aborted, since Postgres was not told of it. It comes to the same again when
 * it is carried out in part. Null when nothing is open, or it can't be told.
 */
async function decide(own: OwnTopics, open: readonly OpenPartition[]): Promise<Decision | null> {
  if (open.length === 0) {
    return null;
  }
  const progress = open.find(({ topic }) => topic === own.progressTopic);
  return progress === undefined ? decideByStored(own, open) : decideByHeld(own, open, progress);
}

/** The progress record has got its marker: it tells. */
async function decideByStored(
  { connection, progressTopic, schemasTopic }: OwnTopics,
  open: readonly OpenPartition[],
): Promise<Decision> {
  const stored = await readProgress(connection, progressTopic);
  const accounted: OpenPartition[] = [];
  for (const place of open) {
    const isAccounted =
      place.topic === schemasTopic
        ? (stored?.schemaOffset ?? -1n) >= place.openFrom
        : parseEnvelope(await readUncommitted(connection, { ...place, offset: place.openFrom })).sequence <=
          (stored?.sequence ?? 0);
    if (isAccounted) {
      accounted.push(place);
    }
  }
  return accounted.length > 0 ? { commit: true, places: accounted } : { commit: false, places: open };
}

/** The progress record is open itself: it tells what else was written. */
async function decideByHeld(
  { connection, schemasTopic }: OwnTopics,
  open: readonly OpenPartition[],
  progress: OpenPartition,
): Promise<Decision | null> {
  const held = parseProgress(await readUncommitted(connection, { ...progress, offset: progress.openFrom }));
  const written = writtenWith(held, schemasTopic);
  if (open.some((place) => place !== progress && !written.some((position) => isSamePlace(place, position)))) {
    return null; // of another transaction, which this daemon would have settled before
  }
  const ended = written.filter((position) => !open.some((place) => isSamePlace(place, position)));
  const fates = await fatesOf(connection, ended);
  if (fates.includes("committed")) {
    return { commit: true, places: open };
  }
  return fates.includes("hidden") ? null : { commit: false, places: open };
}

/**
 * The last batch is whole. Throws BATCH_TORN when events that its progress record counts were aborted: a commit that
 * settled them was itself left undecided until the broker gave it up.
 */
export async function checkWhole(
  connection: KafkaConnection,
  stored: Progress | null,
  schemasTopic: string,
): Promise<void> {
  const written = stored === null ? [] : writtenWith(stored, schemasTopic);
  const fates = await fatesOf(connection, written);
  const at = fates.indexOf("aborted");
  if (at >= 0) {
    const { topic, partition, offset } = written[at]!;
    throw new AfterimageError(
      "BATCH_TORN",
      `Events up to sequence ${stored!.sequence} are published, but those records of them in topic ${topic} partition ${partition} up to offset ${offset} were aborted: brokers have lost how their transaction ended.`,
      "Rebuild the stream: afterimage drop STREAM --topics, then start.",
    );
  }
}

function noteOf({ commit, places }: Decision): string {
  const where = places.map(({ topic, partition, openFrom }) => `${topic}/${partition} from offset ${openFrom}`);
  const named = where.length > 5 ? `${where.slice(0, 5).join(", ")} and ${where.length - 5} more` : where.join(", ");
  return commit
    ? `Kafka has lost the end of a transaction in ${named}; it is committed now, as it was elsewhere.`
    : `Kafka has lost the end of a transaction in ${named}; it is aborted now, since none of it can be read, and published again.`;
}

/** The last record of the progress record's transaction in each partition. */
function writtenWith({ partitions, schemaOffset }: Progress, schemasTopic: string): FetchPosition[] {
  const written = [...partitions].flatMap(([topic, positions]) =>
    [...positions].map(([partition, { offset }]) => ({ topic, partition, offset })),
  );
  return schemaOffset === undefined
    ? written
    : [...written, { topic: schemasTopic, partition: 0, offset: schemaOffset }];
}

function isSamePlace(a: TopicPartition, b: TopicPartition): boolean {
  return a.topic === b.topic && a.partition === b.partition;
}
