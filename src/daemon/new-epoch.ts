// `start --new-epoch`: the deliberate way on after changes were lost. Sees that they were, makes a new slot, and
// announces the epoch by one gap for each table; a snapshot and its sweep then make views equal again.
import type pg from "pg";
import type { CapturedTable } from "../capture/captured-table.ts";
import type { Config } from "../config/config.ts";
import { AfterimageError } from "../errors.ts";
import { parseTableName, progressTopic, schemasTopic } from "../event/identifier.ts";
import type { Progress } from "../event/progress.ts";
import { RowEncoder } from "../event/row-encoder.ts";
import type { TableSchema } from "../event/schema.ts";
import type { SnapshotState } from "../event/snapshot-state.ts";
import type { KafkaConnection } from "../kafka/connection.ts";
import type { EncodedEvent } from "../sink/encode-event.ts";
import { encodeGapEvent, type OwnTable } from "../sink/encode-own-event.ts";
import { readProgress, readSchemas } from "../sink/progress-log.ts";
import type { Publisher } from "../sink/publisher.ts";
import { type Topics, topicRecreated } from "../sink/topics.ts";
import { describeTables, readPublishedTables, readServerIdentity } from "../source/catalog.ts";
import { readPublication } from "../source/publication.ts";
import { dropSlot, readSlot } from "../source/slot.ts";
import { CAPTURE_ENDED, checkContinuity, republished } from "./continuity.ts";
import { refuseWithout, whatWasMissed } from "./missed.ts";
import { ensureSlot, publicationLost, slotLost } from "./open-slot.ts";
import { planSnapshots } from "./snapshot-plan.ts";
import { checkStart } from "./start-checks.ts";
import { serverFacts } from "./start-position.ts";
import { isExcluded, isSelected, newestByOid, type TableResolver } from "./table-resolver.ts";
import { wallTime } from "./wall-time.ts";

/** That a new epoch is to be begun: an operator's wish, or the WAL guard's. */
export interface EpochWish {
  /** Also when nothing is seen to be lost. */
  readonly force: boolean;
  /** Why, as the gaps say it: known once it was looked for. */
  reason: string | null;
  /** The epoch has begun, durably. */
  done: boolean;
}

export const epochWish = (force: boolean, reason: string | null = null): EpochWish => ({ force, reason, done: false });

/** What a new epoch mends: each says that changes are missing. */
const MENDED = new Set([
  "SLOT_LOST",
  "SLOT_AHEAD",
  "SERVER_BEHIND",
  "TIMELINE_DIVERGED",
  "PUBLICATION_LOST",
  "PUBLICATION_FOREIGN",
  "PUBLICATION_CHANGED",
  "TABLE_RENAMED",
  "TABLE_REPUBLISHED",
  "TABLE_REWRITTEN",
  "RESUME_MISMATCH",
]);

/** Only when forced: it may as well be the wrong address. */
const MENDED_BY_FORCE = new Set(["SERVER_FOREIGN"]);

/**
 * Makes the slot, and a publication that is missing, anew. Throws NEW_EPOCH_NOT_NEEDED, SLOT_IN_USE, what is wrong
 * besides and a new epoch does not mend, and the errors of `ensureSlot`; nothing was touched then but by the last.
 */
export async function prepareEpoch(
  client: pg.Client,
  connection: KafkaConnection,
  config: Config,
  wish: EpochWish,
  standby: pg.Client | null = null,
): Promise<void> {
  const stored = await readProgress(connection, progressTopic(config.stream));
  if (stored === null) {
    throw notNeeded("Nothing of the stream was published yet.", "Start without --new-epoch.");
  }
  const wrong = await whatIsWrong(client, connection, config, stored, standby);
  if (wrong !== null && !MENDED.has(wrong.code) && !(wish.force && MENDED_BY_FORCE.has(wrong.code))) {
    throw wrong;
  }
  if (wrong === null && !wish.force) {
    throw notNeeded(
      "Slot, publication and tables fit what was published: nothing is seen to be lost.",
      "Start without --new-epoch. Should it halt with POSITION_NOT_FOUND, which only streaming shows, or should every table be read again anyway: --new-epoch --force.",
    );
  }
  wish.reason ??= wrong?.code ?? "forced";
  await dropSlot(standby ?? client, config.postgres.slot);
  // As on a first start: with a progress record a slot that is gone is an error.
  while (!(await ensureSlot(client, config, false, standby))) {
    // Another process was making it: look again.
  }
}

function notNeeded(what: string, advice: string): AfterimageError {
  return new AfterimageError("NEW_EPOCH_NOT_NEEDED", what, advice);
}

/** The first thing that halts a start; null when none does. */
async function whatIsWrong(
  client: pg.Client,
  connection: KafkaConnection,
  config: Config,
  stored: Progress,
  standby: pg.Client | null,
): Promise<AfterimageError | null> {
  const { stream, postgres } = config;
  const slot = await readSlot(standby ?? client, postgres.slot);
  if (slot?.activePid != null) {
    throw new AfterimageError(
      "SLOT_IN_USE",
      `Process ${slot.activePid} of the server streams from slot ${postgres.slot}: a daemon runs.`,
      "Stop it first (afterimage stop). If it streams, nothing is lost.",
    );
  }
  const identity = await readServerIdentity(client);
  const publication = await readPublication(client, postgres.publication);
  try {
    if (publication !== null) {
      const there = slot ?? { confirmedFlushLsn: stored.endLsn };
      checkStart(stored, await serverFacts(config, { identity, slot: there, publication }, stored));
    }
    if (slot === null || slot.walStatus === "lost") {
      throw slotLost(stream, `Replication slot ${postgres.slot} is gone or was invalidated`);
    }
    if (publication === null) {
      throw publicationLost(stream, postgres.publication);
    }
    await checkTables(client, connection, config, publication.oid);
    return null;
  } catch (error) {
    if (error instanceof AfterimageError) {
      return error;
    }
    throw error;
  }
}

async function checkTables(
  client: pg.Client,
  connection: KafkaConnection,
  { stream, tables, onRewrite }: Config,
  publication: number,
): Promise<void> {
  const latest = new Map<string, TableSchema>();
  for (const schema of await readSchemas(connection, schemasTopic(stream))) {
    latest.set(schema.table, schema);
  }
  const recorded = [...latest.values()].filter(({ table }) => !isExcluded(tables, parseTableName(table)));
  const newest = newestByOid(recorded);
  const inForce = recorded.filter(
    ({ oid, schema, publicationRel }) => publicationRel !== CAPTURE_ENDED && newest.get(oid)!.schema === schema,
  );
  const oids = inForce.map(({ oid }) => oid);
  checkContinuity(inForce, await describeTables(client, publication, oids), onRewrite);
  if (onRewrite === "snapshot") {
    return; // a start reads such tables by itself
  }
  const published = (await readPublishedTables(client, publication)).filter((table) => isSelected(tables, table));
  for (const schema of recorded) {
    const { schema: namespace, table } = parseTableName(schema.table);
    const now = published.find((each) => each.schema === namespace && each.table === table);
    if (now !== undefined && (schema.publicationRel === CAPTURE_ENDED || now.oid !== schema.oid)) {
      throw republished(schema.table);
    }
  }
}

/** What the tables of a stream are opened with. */
export interface OpenTables {
  readonly client: pg.Client;
  /** OID of the publication. */
  readonly publication: number;
  readonly publisher: Publisher;
  readonly resolver: TableResolver;
  readonly topics: Topics;
}

export interface OpenedTables {
  readonly tables: readonly CapturedTable[];
  readonly notes: readonly string[];
}

/**
 * In one transaction: the epoch, its gaps, and what is to be read; a kill before it leaves the old epoch, which halts.
 * Throws TOPIC_RECREATED, TOPIC_MISSING, KEY_CHANGED, SNAPSHOT_NOT_ALLOWED and the errors of `TableResolver.register`.
 */
export async function beginEpoch(parts: OpenTables, wish: EpochWish): Promise<OpenedTables> {
  const { publisher } = parts;
  const { progress } = publisher;
  const renewed = await renewTables(parts);
  const { events, snapshot, notes } = await announceEpoch(parts, progress, renewed, wish.reason!);
  const completeSequence = progress.sequence + events.length;
  await publisher.publish({ ...progress, completeSequence, snapshot, events }, renewed.fresh);
  wish.done = true;
  return { tables: renewed.tables, notes };
}

interface RenewedTables {
  readonly tables: readonly CapturedTable[];
  /** Those that were captured and are not published any more. */
  readonly ended: readonly TableSchema[];
  /** Schema records that are not written yet. */
  readonly fresh: readonly TableSchema[];
}

/** Captures what is published now, whatever it was recorded as. */
async function renewTables({ client, publication, resolver, topics }: OpenTables): Promise<RenewedTables> {
  for (const { table, topicId } of resolver.inForce()) {
    const name = parseTableName(table);
    const topic = await topics.findExisting(topics.nameOf(name.schema, name.table));
    if (topic.id !== topicId) {
      throw topicRecreated(topic.name);
    }
  }
  const published = (await readPublishedTables(client, publication)).filter((table) => resolver.isCaptured(table));
  const before = new Map(resolver.latest().map((schema) => [schema.table, schema]));
  const { ended, renewed } = resolver.renew(published);
  const tables: CapturedTable[] = [];
  for (const table of published) {
    const resolution = await resolver.register(table);
    if (resolution.topic !== null) {
      checkStillKeyed(before.get(resolution.encoder.schema.table), resolution);
      tables.push(resolution);
    }
  }
  return { tables, ended, fresh: [...ended, ...renewed, ...tables.map(({ encoder }) => encoder.schema)] };
}

/** Throws KEY_CHANGED: rows without a key can't follow rows that have one, in whatever epoch. */
function checkStillKeyed(before: TableSchema | undefined, table: CapturedTable): void {
  const missed = before === undefined ? null : whatWasMissed(before, table.encoder.schema);
  if (missed !== null) {
    refuseWithout({ onRewrite: "snapshot" }, table, missed);
  }
}

interface Announcement {
  readonly events: readonly EncodedEvent[];
  readonly snapshot: SnapshotState;
  readonly notes: readonly string[];
}

/** The gaps that announce an epoch, and the snapshots that they open. */
async function announceEpoch(
  { client, topics }: OpenTables,
  { epoch, sequence, endLsn }: Progress,
  { tables, ended }: RenewedTables,
  reason: string,
): Promise<Announcement> {
  const plan = await planSnapshots(client, tables, true);
  const what = `epoch ${epoch} begins (${reason}): changes are missing up to here`;
  const events: EncodedEvent[] = [];
  const announce = (table: OwnTable, text: string): number => {
    const place = { sequence: sequence + events.length + 1, epoch, lsn: endLsn, timestamp: wallTime() };
    events.push(encodeGapEvent(table, text, place));
    return place.sequence;
  };
  const since = new Map<number, number>();
  for (const table of tables) {
    const { oid } = table.encoder.schema;
    // Of a table without a key the reading puts a gap of its own, where it begins.
    const isOpened = table.encoder.hasKey && plan.some((entry) => entry.oid === oid);
    const sequence = announce(table, isOpened ? `snapshot: ${what}, and every row of the table follows` : what);
    if (isOpened) {
      since.set(oid, sequence);
    }
  }
  for (const schema of ended) {
    const { schema: namespace, table } = parseTableName(schema.table);
    const topic = await topics.findExisting(topics.nameOf(namespace, table));
    const gone = { encoder: new RowEncoder(schema), topic: topic.name, partitions: topic.partitions };
    announce(gone, `${what}, and the table is not captured any more`);
  }
  const snapshot = plan.map((entry) => ({ ...entry, since: since.get(entry.oid) ?? null }));
  return { events, snapshot, notes: [] };
}
